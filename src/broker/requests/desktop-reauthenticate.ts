/**
 * `desktop-reauthenticate`, `desktop-answer`: PAM's questions for a login that is to show again who it
 * is, and the answers. What comes of it stays here. Runs in: monitor.
 */
import type { Connection } from '../../monitor/connection.ts';
import { type AnyRow, row } from '../../monitor/request-table.ts';
import type { Reauthenticated, Reauthentications } from '../../monitor/reauthentication.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import {
  DesktopAnswer,
  DesktopReauthenticate,
  desktopFailure,
  reauthenticationIs,
} from '../link.ts';
import { isId } from '../naming.ts';
import type { Owner } from '../outcome.ts';
import type { ResumeGuard } from '../resume-guard.ts';
import { ownerOf } from './context.ts';

export interface ReauthenticationContext {
  readonly reauthentications: Reauthentications;
  readonly guard: ResumeGuard;
  /** Why this login cannot be asked; undefined: it can. */
  obstacle(connection: Connection, owner: Owner): string | undefined;
}

function replyFor(outcome: Reauthenticated) {
  return outcome.is === 'prompt'
    ? { is: reauthenticationIs.prompt, ...outcome.prompts }
    : { is: reauthenticationIs[outcome.is], instruction: outcome.told, prompts: [] };
}

function refusal(text: string): CallFailure {
  return new CallFailure(desktopFailure.refused, text);
}

export function reauthenticationRows({
  reauthentications,
  guard,
  obstacle,
}: ReauthenticationContext): readonly AnyRow[] {
  const settled = (connection: Connection, desktop: string, outcome: Reauthenticated) => {
    if (outcome.is === 'accepted') {
      guard.note({ key: connection }, desktop);
    }
    return { values: replyFor(outcome) };
  };
  return [
    row({
      schema: DesktopReauthenticate,
      phase: ['postauth'],
      once: false,
      decides: false,
      serial: false,
      async handle(connection, { session, id }) {
        const owner = ownerOf(connection, session);
        const why = isId(id) ? obstacle(connection, owner) : 'There is no such desktop.';
        if (why !== undefined) {
          throw refusal(why);
        }
        const outcome = await reauthentications.begin(connection, id);
        if (outcome === undefined) {
          throw refusal('This login is being asked already, on another channel.');
        }
        return settled(connection, id, outcome);
      },
    }),
    row({
      schema: DesktopAnswer,
      phase: ['postauth'],
      once: false,
      decides: false,
      serial: false,
      async handle(connection, { session, answers }) {
        try {
          ownerOf(connection, session);
          const { desktop, outcome } = await reauthentications.answer(connection, answers);
          return settled(connection, desktop, outcome);
        } finally {
          answers.forEach((answer) => answer.fill(0));
        }
      },
    }),
  ];
}
