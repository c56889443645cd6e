/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Prints a JSON line for each system call by number: "call", "zeros", "ones". 0, or 1. */
int calls_print(void);
