"""What install.py does, in plain modules that need nothing but Python itself.

`locations` knows where GIMPs and our own data are on each system; `record` writes down what is made, and removes it;
`environment` makes the Python environment that the network runs in; `plugin` puts the plug-in into GIMP's folders;
`gimp` asks GIMP itself whether it sees it; `doctor` looks at all of that; `testing` runs the tests; `main` is the command line.
"""
