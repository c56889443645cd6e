/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Takes an input apart: an input that is used up yields zeroes, so every input is a valid one. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

static inline uint8_t input_byte(Input *in) {
        if (in->size == 0)
                return 0;
        in->size--;
        return *in->data++;
}

static inline uint32_t input_u32(Input *in) {
        uint32_t value = 0;

        for (int i = 0; i < 4; i++)
                value |= (uint32_t)input_byte(in) << 8 * i;
        return value;
}

/* At most @max bytes: as many as a byte, times @unit, says. Borrowed. */
static inline const uint8_t *input_bytes(Input *in, size_t unit, size_t max, size_t *ret_size) {
        size_t n = (size_t)input_byte(in) * unit;
        const uint8_t *data = in->data;

        n = n < max ? n : max;
        n = n < in->size ? n : in->size;
        in->data += n;
        in->size -= n;
        *ret_size = n;
        return data;
}

/* A NUL-terminated text of at most @size - 1 bytes. */
static inline char *input_text(Input *in, char *ret, size_t size) {
        size_t n;
        const uint8_t *data = input_bytes(in, 1, size - 1, &n);

        memcpy(ret, data, n);
        ret[n] = '\0';
        return ret;
}

/* One of @n choices. */
static inline size_t input_pick(Input *in, size_t n) {
        return input_byte(in) % n;
}
