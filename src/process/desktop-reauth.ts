/**
 * DesktopReauth put together with this process: in front of which requests it stands, and who can be
 * asked at all. Runs in: monitor, user.
 */
import type { LocalGuard } from '../broker/remote.ts';
import { isId } from '../broker/naming.ts';
import type { Owner } from '../broker/outcome.ts';
import { ownerOf, type Onlooker } from '../broker/requests/context.ts';
import { reauthenticationRows } from '../broker/requests/desktop-reauthenticate.ts';
import { type Ask, ResumeGuard } from '../broker/resume-guard.ts';
import type { Connection } from '../monitor/connection.ts';
import { Reauthentications } from '../monitor/reauthentication.ts';
import type { AnyRow } from '../monitor/request-table.ts';
import type { Leaders } from './leaders.ts';

export interface DesktopReauthOptions {
  readonly isRootless: boolean;
  /** Of the desktops of this user, as it is configured now. */
  readonly isWanted: (owner: Owner) => boolean;
  /** Ids, one for each viewer. */
  readonly viewedBy: (connection: number) => readonly string[];
  readonly killLeader: (pid: number) => void;
}

const notAsked =
  'This desktop is resumed only after you have shown again who you are, and nothing can ask you here: `sshdesk connect` to the daemon of this machine does.';
const cannotAsk =
  'This desktop is resumed only after you have shown again who you are (DesktopReauth), and this server has no PAM to ask you with.';

export class DesktopReauth {
  readonly #options: DesktopReauthOptions;
  readonly #guard: ResumeGuard;
  readonly #reauthentications: Reauthentications;

  constructor(options: DesktopReauthOptions, leaders: Leaders) {
    const nowMs = (): number => performance.now();
    this.#options = options;
    this.#guard = new ResumeGuard(options.isWanted, nowMs);
    this.#reauthentications = new Reauthentications({
      startLeader: () => leaders.startLogin(),
      killLeader: options.killLeader,
      nowMs,
      sleepMs: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
  }

  /** Of logins: `ask` makes a request in the name of one, wherever the desktops are owned. */
  rows(rows: readonly AnyRow[], askFor: (connection: Connection) => Ask): readonly AnyRow[] {
    const { isWanted, viewedBy } = this.#options;
    const guarded = rows.map(
      (row): AnyRow => ({
        ...row,
        handle: (connection: Connection, values) => {
          const resumer = {
            key: connection,
            viewing: () => viewedBy(connection.number),
            obstacle: this.#obstacle(connection),
            onRefused: (id: string) =>
              connection.log.error(
                `desktop ${isId(id) ? id : '?'} is not resumed: DesktopReauth, and no PAM to ask again with (UsePAM no, or not root)`,
              ),
          };
          const owner = ownerOf(connection, Number(values['session']));
          return this.#guard.answer(resumer, owner, row.schema, values, askFor(connection));
        },
      }),
    );
    const asking = reauthenticationRows({
      reauthentications: this.#reauthentications,
      guard: this.#guard,
      obstacle: (connection, owner) =>
        isWanted(owner)
          ? this.#obstacle(connection)
          : 'Nothing is asked again before a desktop of yours is opened.',
    });
    return [...guarded, ...asking];
  }

  /** Why PAM cannot ask this login again; undefined: it can. */
  #obstacle({ login }: Connection): string | undefined {
    return this.#options.isRootless || login?.config.usePam !== true ? cannotAsk : undefined;
  }

  /** Of processes of users on the local socket, and of the user who owns this process. */
  readonly local: LocalGuard = (caller, owner, schema, values, ask) =>
    this.#guard.answer(
      {
        key: caller,
        // What it says to look at is its own word (`desktop-keep`).
        viewing: () => [],
        obstacle: notAsked,
      },
      owner,
      schema,
      values,
      ask,
    );

  /** A viewer has gone of its own accord. */
  left(onlooker: Onlooker, id: string): void {
    this.#guard.note({ key: onlooker }, id);
  }

  connectionEnded(onlooker: Onlooker): void {
    this.#reauthentications.connectionEnded(onlooker);
  }
}
