/**
 * `start-keyboard-interactive`, `answer-keyboard-interactive` (RFC 4256): PAM's conversation, one
 * INFO_REQUEST per batch of messages; an expired password is changed inside the same dialogue.
 * Runs in: monitor.
 */
import { MonitorRefusal } from '../../base/errors.ts';
import type { Authenticated, PamMessage } from '../../../pam/leader-client.ts';
import {
  accountExpired,
  authenticationFailure,
  pamErrorText,
  triesExhausted,
} from '../../../pam/pam-error.ts';
import { type AuthReply, authReply } from '../auth-reply.ts';
import { type Authentication, authenticationOf } from '../authentication.ts';
import { type Candidate, recordFailure } from '../candidate.ts';
import { Conversation, promptsOf, textOf, type Turn } from '../conversation.ts';
import { waitAsRefused } from '../failure-delay.ts';
import { AnswerKeyboardInteractive, authIs, StartKeyboardInteractive } from '../link.ts';
import { accountStep } from '../login-establishment.ts';
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
      attempt.startedMs = attempt.authentication.candidate.host.nowMs();
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

/** In a conversation nobody was told why: sshd's line, which fail2ban counts. */
function tellPamError(
  { connection, host, isValid, loggedPlain }: Candidate,
  returnCode: number,
): void {
  const who = isValid ? loggedPlain : `illegal user ${loggedPlain}`;
  // sshd converses in a process of its own each time, where no module's count reaches its end.
  const isPlain = returnCode === 0 || returnCode === triesExhausted;
  const code = isPlain ? authenticationFailure : returnCode;
  host.log.error(
    `PAM: ${pamErrorText(code)} for ${who} from ${connection.endpoints.remoteAddress}`,
  );
}

/** A refusal whose reason PAM has told: an INFO_REQUEST without prompts first, as sshd. */
async function refuse(
  { authentication, startedMs }: Attempt,
  returnCode: number,
  messages: readonly PamMessage[],
  delayUs: number,
): Promise<AuthReply> {
  const { candidate } = authentication;
  await recordFailure(candidate);
  await waitAsRefused(candidate.host, startedMs, delayUs);
  if (messages.length === 0) {
    tellPamError(candidate, returnCode);
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
  const { leader } = authentication.candidate;
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
  const { candidate } = authentication;
  if (!attempt.mayPass || result.returnCode !== 0 || result.userChanged) {
    return refuse(attempt, result.returnCode, result.messages, result.delayUs);
  }
  if (authentication.isAccounted) {
    return authentication.accept(method, 'pam', undefined, undefined);
  }
  const account = await accountStep(candidate.leader, authentication.factors.met);
  const told = [...result.messages, ...account.messages];
  if (account.isDenied) {
    if (told.length === 0) {
      tellPamError(candidate, accountExpired);
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
      const { host, leader } = authentication.candidate;
      const attempt: Attempt = {
        authentication,
        mayPass: authentication.mayPass(method),
        startedMs: host.nowMs(),
        asked: false,
      };
      const conversation = new Conversation<Authenticated>(leader, () =>
        leader.authenticate({
          mode: 0,
          password: Buffer.alloc(0),
          allowEmpty: host.config.permitEmptyPasswords,
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
