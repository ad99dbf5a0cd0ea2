/* Modules that every login loads, loaded once. Runs in: zygote. */
#pragma once

/* For all leaders forked from here; a module that is missing is loaded by them, or not at all. */
void preload_modules(void);
