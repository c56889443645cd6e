#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
while sleep 60; do
        date
done
