/**
 * The account behind a uid of this machine that asks for desktops without a login here: looked up
 * by a leader, through NSS, before anything is done in its name. Runs in: monitor, user.
 */
import type { Owner } from '../broker/outcome.ts';
import type { LoadedDesktop } from '../policy/load.ts';
import type { Leaders } from './leaders.ts';

/** As the leader has it: the account's shell is there and can be run (sshd asks for the same). */
const shellIsFine = 0;
const loginKind = 0;

export type LocalAccount =
  | { readonly is: 'admitted'; readonly owner: Owner }
  /** `text`: for the user; `detail`: for the log. */
  | { readonly is: 'refused'; readonly text: string; readonly detail: string };

/** `claimed`: which of the names of the uid. PAM is asked by the desktop's own leader, at its start. */
export async function localAccount(
  leaders: Leaders,
  claimed: Owner,
  configFor: LoadedDesktop['configFor'],
): Promise<LocalAccount> {
  const leader = await leaders.startLogin();
  try {
    const { user, uid } = claimed;
    const nobody = { service: '', rhost: '', tty: '', connection: '', loggedAs: '' };
    const account = await leader.begin({ kind: loginKind, user, ...nobody });
    if (!account.exists || account.uid !== uid) {
      return {
        is: 'refused',
        text: 'The account is not the one that asks.',
        detail: `it is not ${user}`,
      };
    }
    if (account.shellState !== shellIsFine) {
      return {
        is: 'refused',
        text: 'The account may not log in.',
        detail: `shell ${account.shell} of ${account.user} cannot be run`,
      };
    }
    if (!configFor({ user: account.user, groups: account.groups }).localDesktops) {
      return {
        is: 'refused',
        text: 'Desktops are not open to logins of other servers here.',
        detail: `LocalDesktops no for ${account.user}`,
      };
    }
    return { is: 'admitted', owner: { user: account.user, uid, groups: account.groups } };
  } finally {
    leader.drop();
  }
}
