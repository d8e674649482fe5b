"""The long-lived process that serves the pipeline to GIMP."""
