/*
 * Forks leaders, starts workers, binds ports: the orders of zygote-protocol.ts and nothing else.
 * Runs in: zygote.
 */
#pragma once

/* Owns `descriptor`. Ends with its link. */
_Noreturn void zygote_run(int descriptor);
