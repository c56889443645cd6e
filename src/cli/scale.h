/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"

/* One argument of `ps:scale`: web=2, web=2:standard-2x, web+1, worker-1. */
typedef struct ScaleArgument {
        char type[PROCESS_TYPE_SIZE];
        char size[SIZE_NAME_SIZE]; /* "": keep */
        bool relative;
        int32_t quantity;
} ScaleArgument;

/* Return: 0 or -EINVAL. */
int scale_parse(ScaleArgument *ret, const char *text);
