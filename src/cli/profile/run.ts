/** What the commands of `sshdesk profile` share: how a failure becomes an exit status. Runs in: user. */
import { ClientFailure } from '../../ssh/client/failure.ts';
import { printable } from '../connect/printable.ts';
import { ProfileStore, profileFolder } from './store.ts';

const exitCodes = { usage: 2, other: 1 } as const;

/** Wrong words are 2; what is there or cannot be done is 1. */
export async function runProfile(work: (store: ProfileStore) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await work(new ProfileStore(profileFolder(process.env)));
  } catch (error) {
    if (!(error instanceof ClientFailure)) throw error;
    process.stderr.write(`sshdesk profile: ${printable(error.detail)}\n`);
    process.exitCode = error.kind === 'usage' ? exitCodes.usage : exitCodes.other;
  }
}
