/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The header of a call that carries descriptors. sd-bus forgets the descriptors of a message
 * that it cannot read, for as long as the process lives, so such a message must not get
 * there. This is stricter than sd-bus: a plain call of our object, or nothing. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * call_header_is_plain() - may this message be handed over with its descriptors
 * @data:   the message from its first byte, header and fields at least
 * @size:   bytes of it
 * @n_fds:  descriptors that came with it
 *
 * Little-endian, a method call of our path and interface with a member, a valid signature
 * and that number of descriptors, each field once.
 */
bool call_header_is_plain(const uint8_t *data, size_t size, size_t n_fds);
