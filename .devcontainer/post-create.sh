#!/usr/bin/env bash
# Installs what `azd up`, the scripts and a local run need, and the image and its features lack. Runs once, when the container is
# created. The checks need more, which takes minutes: .ci/setup.
set -euo pipefail
cd "$(dirname "$0")/.."

# Core Tools are a .NET program, which exits at its start without ICU; scripts/package.sh installs its linker with pip.
sudo apt-get update
sudo apt-get install --yes --no-install-recommends libicu72 python3-pip

# Versions up to 4.6 cannot publish a custom handler to every Flex Consumption app; 4.15 needs Node.js 22.
npm install --global azure-functions-core-tools@4.15.1

# The toolchain that rust-toolchain.toml names; and on a machine with another processor, what the package is built for.
rustup toolchain install
rustup target add x86_64-unknown-linux-gnu
