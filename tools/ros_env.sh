# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The environment in which this source tree talks ROS 2. Meant to be sourced by bash, from any folder:
#
#     . tools/ros_env.sh
#
# A sourced ROS 2 distribution (ROS_DISTRO set) is left as it is. Elsewhere the sandbox inside the
# virtual environment serves. Either way the package built by `make build` is overlaid, and the source tree
# comes first on the Python path, so an edited module is the one that runs; only
# `fpg_pose_ros.msg` and `fpg_pose_ros.srv` are generated.

_fpg_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
_fpg_venv="${VENV:-.venv}"
[[ "$_fpg_venv" = /* ]] || _fpg_venv="$_fpg_root/$_fpg_venv"

# Puts a folder in front of a colon-separated variable, once.
_fpg_prepend() {
    case ":${!1:-}:" in
        *":$2:"*) ;;
        *) export "$1=$2${!1:+:${!1}}" ;;
    esac
}

if [[ -z "${ROS_DISTRO:-}" || "${FPG_POSE_ROS:-}" == sandbox ]]; then
    export FPG_POSE_ROS=sandbox ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
    export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
    # A sandbox is no robot: it neither hears nor disturbs the network it is on.
    export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
    _fpg_prepend AMENT_PREFIX_PATH "$_fpg_venv"
    _fpg_prepend CMAKE_PREFIX_PATH "$_fpg_venv"
    _fpg_prepend LD_LIBRARY_PATH "$_fpg_venv/lib"
fi
_fpg_prepend PATH "$_fpg_venv/bin"

if [[ -f "$_fpg_root/.ros/install/local_setup.bash" ]]; then
    # The generated script reads variables that need not be set.
    case $- in *u*) _fpg_nounset=1; set +u ;; *) _fpg_nounset= ;; esac
    . "$_fpg_root/.ros/install/local_setup.bash"
    [[ -z "$_fpg_nounset" ]] || set -u
fi
_fpg_prepend PYTHONPATH "$_fpg_root"

# VGA images need a larger shared-memory segment than Fast DDS opens by itself. Jazzy reads the first name, later
# distributions the second.
if [[ -f "$_fpg_root/config/fastdds.xml" ]]; then
    export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_fpg_root/config/fastdds.xml}"
    export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$_fpg_root/config/fastdds.xml}"
fi

unset -f _fpg_prepend
unset _fpg_root _fpg_venv _fpg_nounset
