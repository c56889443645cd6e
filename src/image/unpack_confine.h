/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"
#include "image/unpack_spawn.h"

/**
 * unpack_confine() - lock dynod-unpacker in for good
 * @mode:       what it is to do
 * @target_fd:  extract, remove: the target folder, a mount of its own; becomes the root
 *
 * Return: 0 or a negative errno; then the caller must not go on.
 */
int unpack_confine(UnpackMode mode, int target_fd) _must_check_;
