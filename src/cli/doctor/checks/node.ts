/** The Node that runs this, which is the one that runs the daemon. Runs in: user. */
import { type Check, fail, ok } from '../check.ts';

const least = [24, 20] as const;

export const node: Check = {
  name: 'node',
  look() {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    const isNew = major > least[0] || (major === least[0] && minor >= least[1]);
    const what = `Node ${process.versions.node}, ${process.execPath}`;
    return [isNew ? ok(what) : fail(`${what}: too old`, `Node ${least.join('.')}: run ./setup`)];
  },
};
