/** How a reason to skip begins when it is a foreign client that is missing. Runs in: test. */
export const missingClient = 'client missing: ';
