/** How many browsers may look at a desktop at a time. Runs in: user. */

export const maxViewers = 8;
