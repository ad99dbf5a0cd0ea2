/**
 * `start-keyboard-interactive`, `answer-keyboard-interactive` (RFC 4256): PAM's conversation, one
 * INFO_REQUEST per batch of messages; an expired password is changed inside the same dialogue.
 * Runs in: monitor.
 */
import { MonitorRefusal } from '../../base/errors.ts';
import type { Authenticated, PamMessage } from '../../../pam/leader-client.ts';
import { accountExpired } from '../../../pam/pam-error.ts';
import {
  type Authentication,
  type AuthReply,
  authenticationOf,
  authReply,
  textOf,
} from '../authentication.ts';
import { Conversation, promptsOf, type Turn } from '../conversation.ts';
import { AnswerKeyboardInteractive, authIs, StartKeyboardInteractive } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

const method = 'keyboard-interactive';

interface Attempt {
  readonly authentication: Authentication;
  readonly mayPass: boolean;
  /** Of the present turn: a person's time to think is no part of what a refusal must hide. */
  startedMs: number;
  /** Something: sshd names the submethod from the second time on. */
  asked: boolean;
}
type Step<R> = (turn: Turn<R>) => Promise<AuthReply>;
type Changed = { readonly returnCode: number; readonly messages: readonly PamMessage[] };

/** Shows the prompts; goes on with `then` when the answers have come. */
function ask<R>(
  attempt: Attempt,
  conversation: Conversation<R>,
  messages: readonly PamMessage[],
  then: Step<R>,
): AuthReply {
  attempt.authentication.conversation = {
    abort: () => conversation.abort(),
    resume: async (answers) => {
      attempt.startedMs = attempt.authentication.host.nowMs();
      conversation.answer(answers);
      return then(await conversation.next());
    },
  };
  const { asked } = attempt;
  attempt.asked = true;
  return attempt.authentication.postponed(
    asked ? `${method}/pam` : method,
    authReply(authIs.prompt, promptsOf(messages)),
  );
}

/** A refusal whose reason PAM has told: an INFO_REQUEST without prompts first, as sshd. */
async function refuse(
  { authentication, startedMs }: Attempt,
  returnCode: number,
  messages: readonly PamMessage[],
  delayUs: number,
): Promise<AuthReply> {
  await authentication.recordFailure();
  await authentication.waitAsRefused(startedMs, delayUs);
  if (messages.length === 0) {
    authentication.tellPamError(returnCode);
    return authentication.refuse(`${method}/pam`);
  }
  authentication.conversation = {
    abort: async () => {},
    resume: async () => authentication.refuse(`${method}/pam`),
  };
  return authentication.postponed(
    `${method}/pam`,
    authReply(authIs.prompt, { instruction: textOf(messages) }),
  );
}

async function changePassword(
  attempt: Attempt,
  reasons: readonly PamMessage[],
): Promise<AuthReply> {
  let told = reasons;
  const { authentication } = attempt;
  const { leader } = authentication;
  const conversation = new Conversation<Changed>(leader, () => leader.changePassword());
  const step: Step<Changed> = async (turn) => {
    if (turn.is === 'prompts') {
      // Why it is to be changed comes in front of the first question.
      const shown = [...told, ...turn.messages];
      told = [];
      return ask(attempt, conversation, shown, step);
    }
    const { returnCode, messages } = turn.result;
    return returnCode === 0
      ? authentication.accept(method, 'pam', undefined, undefined, {
          messages: [...told, ...messages],
        })
      : refuse(attempt, returnCode, messages, 0);
  };
  return step(await conversation.next());
}

async function judge(attempt: Attempt, result: Authenticated): Promise<AuthReply> {
  const { authentication } = attempt;
  if (!attempt.mayPass || result.returnCode !== 0 || result.userChanged) {
    return refuse(attempt, result.returnCode, result.messages, result.delayUs);
  }
  if (authentication.isAccounted) {
    return authentication.accept(method, 'pam', undefined, undefined);
  }
  const account = await authentication.leader.account(authentication.factors.met);
  const told = [...result.messages, ...account.messages];
  if (account.userChanged || (account.returnCode !== 0 && !account.newPasswordRequired)) {
    if (told.length === 0) {
      authentication.tellPamError(accountExpired);
    }
    return authentication.deny(`${method}/pam`, undefined, told);
  }
  return account.newPasswordRequired
    ? changePassword(attempt, told)
    : authentication.accept(method, 'pam', undefined, undefined, { messages: told });
}

/** RFC 4256 §3.1: a hint, one list however long. sshd takes the devices that are in it, or any. */
function isWanted(authentication: Authentication, submethods: Buffer): boolean {
  const isAsked =
    submethods.length === 0 || submethods.toString('latin1').split(',').includes('pam');
  return isAsked && authentication.factors.wants(method, 'pam');
}

export function startKeyboardInteractive(): AnyRow {
  return row({
    schema: StartKeyboardInteractive,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { submethods }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      if (!authentication.methods.includes(method) || !isWanted(authentication, submethods)) {
        return { values: authentication.refuse(method, undefined, false) };
      }
      const attempt: Attempt = {
        authentication,
        mayPass: authentication.mayPass(method),
        startedMs: authentication.host.nowMs(),
        asked: false,
      };
      const conversation = new Conversation<Authenticated>(authentication.leader, () =>
        authentication.leader.authenticate({
          mode: 0,
          password: Buffer.alloc(0),
          allowEmpty: authentication.host.config.permitEmptyPasswords,
          refused: !attempt.mayPass,
        }),
      );
      const step: Step<Authenticated> = async (turn) =>
        turn.is === 'prompts'
          ? ask(attempt, conversation, turn.messages, step)
          : judge(attempt, turn.result);
      return { values: await step(await conversation.next()) };
    },
  });
}

export function answerKeyboardInteractive(): AnyRow {
  return row({
    schema: AnswerKeyboardInteractive,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { answers }) {
      const authentication = authenticationOf(connection);
      const { conversation } = authentication;
      if (conversation === undefined) {
        throw new MonitorRefusal('answers where nothing was asked');
      }
      authentication.conversation = undefined;
      return { values: await conversation.resume(answers) };
    },
  });
}
