/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* In place of dynod-supervisor: carries out orders from a socket in its own folder. */
int hostile_supervisor(void);
