#!/usr/bin/env bash
# Makes a Debian root with a real GIMP 3 for the tests: build_root.sh DIR SUITE
# trixie has GIMP 3.0, forky 3.2. Needs root and Debian; uses the mirror that apt is configured with.
# Run again: a complete root is kept and only its mounts are looked after. Run twice at once, the second waits.
set -euo pipefail
dir=${1:?usage: build_root.sh DIR SUITE} suite=${2:?usage: build_root.sh DIR SUITE}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd -P)
ready=$dir/.ready building=$dir.building
exec 9>"$dir.lock"; flock 9
packages="gimp gir1.2-gimp-3.0 gir1.2-gtk-3.0 python3 python3-gi python3-gi-cairo python3-venv \
  xvfb xdotool openbox x11-utils imagemagick dbus fonts-dejavu-core fonts-nanum adwaita-icon-theme locales"
languages="de_DE ko_KR"

mount_system() {
  mountpoint -q "$dir/proc" || mount -t proc proc "$dir/proc"
  mountpoint -q "$dir/sys" || mount --bind /sys "$dir/sys"
  mountpoint -q "$dir/dev" || mount --bind /dev "$dir/dev"
  mountpoint -q "$dir/dev/pts" || mount --bind /dev/pts "$dir/dev/pts"
  mountpoint -q "$dir/dev/shm" || mount --bind /dev/shm "$dir/dev/shm"
}

unmount_all() {
  local mounted
  while mounted=$(awk -v d="$dir/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | head -n 1) && [ -n "$mounted" ]; do
    umount "$mounted" 2>/dev/null || umount -l "$mounted"
  done
}

# It is nobody's system, so nothing need survive a power failure, and nobody reads its documentation.
write_settings() {
  mkdir -p "$dir/etc/dpkg/dpkg.cfg.d"
  printf '%s\n' force-unsafe-io path-exclude=/usr/share/doc/* path-exclude=/usr/share/man/* \
    path-exclude=/usr/share/info/* >"$dir/etc/dpkg/dpkg.cfg.d/quick"
}

install_packages() {
  write_settings
  chroot "$dir" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q &&
    apt-get install -y -q --no-install-recommends --no-upgrade $packages && apt-get clean"
  local language
  for language in $languages; do chroot "$dir" localedef -i "$language" -f UTF-8 "$language.UTF-8"; done
  echo "$packages $languages" >"$ready"
}

# A root from before this list of packages gets what it lacks.
if [ -e "$ready" ]; then
  mount_system
  [ "$(<"$ready")" = "$packages $languages" ] || install_packages
  exit 0
fi

command -v debootstrap >/dev/null ||
  flock "$(dirname "$dir")/apt.lock" sh -c "apt-get update -q && apt-get install -y -q debootstrap"
sources=/etc/apt/sources.list.d/debian.sources
mirror=$(sed -n 's/^URIs: *//p' "$sources" 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid

# Remove only what an earlier run of this script left half-built.
if [ -n "$(ls -A "$dir")" ] && [ ! -e "$building" ]; then
  echo "$dir has something else in it: empty it or name another folder." >&2; exit 1
fi
touch "$building"

# Never remove anything while the machine's own /dev hangs in there.
unmount_all
rm -rf --one-file-system "${dir:?}"; mkdir -p "$dir"
debootstrap --variant=minbase "$suite" "$dir" "$mirror" "$script"
cp /etc/resolv.conf /etc/hosts "$dir/etc/" 2>/dev/null || true
cp /etc/apt/apt.conf.d/* "$dir/etc/apt/apt.conf.d/" 2>/dev/null || true
mount_system
install_packages
chroot "$dir" gimp --version
rm "$building"
