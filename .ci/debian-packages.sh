#!/usr/bin/env bash
# What the tests use beside Node and npm, where it is missing: a compiler for the native kernels and for TensorFlow's binding, pip for
# TensorFlow's libraries, Chromium for the browser worker and for its software GPU. ccache because the native kernels are compiled twice:
# here, and as a package that somebody installs.
set -euo pipefail
missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v ccache >/dev/null || missing+=(ccache)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3 python3-pip)
[ -e /usr/lib/chromium/vk_swiftshader_icd.json ] || missing+=(chromium)
ldconfig -p | grep -q libvulkan.so.1 || missing+=(libvulkan1)
((${#missing[@]} == 0)) && exit 0
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
