/**
 * The client's side of RFC 4252 and RFC 4256: methods in the order of ssh, any number of factors,
 * every question to the person as it came. Nothing is ever answered on the person's behalf.
 * Runs in: user.
 */
import type { ParsedKey } from 'ssh2';
import { SshdeskError } from '../../base/errors.ts';
import { ClientFailure } from './failure.ts';
import type { Identity } from './identities.ts';
import type { UserauthReply, UserauthWire } from './userauth.seam.ts';

export interface Question {
  readonly text: string;
  readonly isEchoed: boolean;
}

/** The person. All texts are the server's, and untrusted, unless the caller made them. */
export interface Conversation {
  show(text: string): void;
  /** One answer for each question; rejects when nobody answers. */
  ask(questions: readonly Question[]): Promise<string[]>;
}

export interface UserauthPlan {
  readonly user: string;
  readonly host: string;
  /** Allowed methods, most wanted first. */
  readonly methods: readonly string[];
  readonly identities: readonly Identity[];
  /** Null: nobody may be asked. */
  readonly conversation: Conversation | null;
  /** How often a password or a dialogue is tried. */
  readonly promptAttempts: number;
}

const maxAttempts = 128;
const maxRounds = 128;

type Failure = Extract<UserauthReply, { is: 'failure' }>;
type Outcome = Extract<UserauthReply, { is: 'success' | 'failure' }>;

/** Resolves when the server has said SUCCESS; throws ClientFailure `authentication` otherwise. */
export async function authenticate(wire: UserauthWire, plan: UserauthPlan): Promise<void> {
  let outcome = outcomeOf(await wire.none(plan.user));
  let factor = new Factor(wire, plan);
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    if (outcome.is === 'success') return;
    if (outcome.isPartial) factor = new Factor(wire, plan);
    const tried = await factor.next(outcome.methods);
    if (!tried) throw denied(plan, outcome);
    outcome = tried;
  }
  throw new ClientFailure('authentication', 'the server never comes to a decision');
}

function denied(plan: UserauthPlan, last: Failure): ClientFailure {
  const methods = last.methods.join(',');
  return new ClientFailure(
    'authentication',
    `${plan.user}@${plan.host}: Permission denied (${methods}).`,
  );
}

/** A reply that belongs to no running dialogue ends the login. */
function outcomeOf(reply: UserauthReply): Outcome {
  if (reply.is === 'success' || reply.is === 'failure') return reply;
  throw new ClientFailure('connection', `the server answers with an unexpected ${reply.is}`);
}

/** What has been tried for the factor at hand; after a partial success a new one begins. */
class Factor {
  readonly #wire: UserauthWire;
  readonly #plan: UserauthPlan;
  readonly #identities: Identity[];
  readonly #tries = new Map<string, number>();

  constructor(wire: UserauthWire, plan: UserauthPlan) {
    this.#wire = wire;
    this.#plan = plan;
    this.#identities = [...plan.identities];
  }

  /** Tries what is left of the methods that the server offers; null: nothing is left. */
  async next(offered: readonly string[]): Promise<Outcome | null> {
    for (const method of this.#plan.methods) {
      if (!offered.includes(method)) continue;
      const outcome = await this.#attempt(method);
      if (outcome) return outcome;
    }
    return null;
  }

  #attempt(method: string): Promise<Outcome | null> {
    if (method === 'publickey') return this.#publickey();
    const conversation = this.#plan.conversation;
    if (!conversation) return Promise.resolve(null);
    if (method === 'keyboard-interactive') return this.#dialogue(conversation);
    if (method === 'password') return this.#password(conversation);
    return Promise.resolve(null);
  }

  async #publickey(): Promise<Outcome | null> {
    for (let identity = this.#identities.shift(); identity; identity = this.#identities.shift()) {
      const outcome = await this.#offer(identity);
      if (outcome) return outcome;
    }
    return null;
  }

  /** Null: nothing was sent that the server has not answered; go on with the next key. */
  async #offer(identity: Identity): Promise<Outcome | null> {
    const { user } = this.#plan;
    if (identity.publicKey) {
      const algorithm = this.#algorithmFor(identity.publicKey);
      const reply = await this.#wire.queryKey(user, identity.publicKey, algorithm.name);
      if (reply.is !== 'key-accepted') return outcomeOf(reply);
    }
    const signer = await identity.unlock();
    if (!signer) return null;
    const algorithm = this.#algorithmFor(signer.publicKey);
    const sign = (data: Buffer): Promise<Buffer> => signer.sign(data, algorithm.hash);
    try {
      return outcomeOf(await this.#wire.proveKey(user, signer.publicKey, algorithm.name, sign));
    } catch (error) {
      if (error instanceof ClientFailure) throw error;
      const why = error instanceof SshdeskError ? error.detail : String(error);
      this.#plan.conversation?.show(`${identity.label}: signing failed: ${why}\n`);
      return null;
    }
  }

  /** RFC 8332: SHA-1 signatures are never made. */
  #algorithmFor(key: ParsedKey): { name: string; hash: string | undefined } {
    if (key.type !== 'ssh-rsa') return { name: key.type, hash: undefined };
    const announced = this.#wire.signatureAlgorithms;
    const is256 = announced?.includes('rsa-sha2-512') === false;
    return is256
      ? { name: 'rsa-sha2-256', hash: 'sha256' }
      : { name: 'rsa-sha2-512', hash: 'sha512' };
  }

  #mayTry(method: string): boolean {
    const tries = (this.#tries.get(method) ?? 0) + 1;
    this.#tries.set(method, tries);
    return tries <= this.#plan.promptAttempts;
  }

  async #password(conversation: Conversation): Promise<Outcome | null> {
    if (!this.#mayTry('password')) return null;
    const { user, host } = this.#plan;
    if (this.#tries.get('password') !== 1) {
      conversation.show('Permission denied, please try again.\n');
    }
    const text = `${user}@${host}'s password: `;
    const [password = ''] = await conversation.ask([{ text, isEchoed: false }]);
    let reply = await this.#wire.password(user, password);
    for (let round = 0; reply.is === 'change-password'; round += 1) {
      if (round >= maxRounds) throw tooManyRounds();
      reply = await this.#changePassword(conversation, password, reply.prompt);
    }
    return outcomeOf(reply);
  }

  /** RFC 4252 §8: the new password travels with the old one; typed twice, compared here. */
  async #changePassword(conversation: Conversation, old: string, prompt: string) {
    const { user, host } = this.#plan;
    conversation.show(`${prompt}\n`);
    for (let attempt = 0; attempt < this.#plan.promptAttempts; attempt += 1) {
      const [first, second] = await conversation.ask([
        { text: `Enter ${user}@${host}'s new password: `, isEchoed: false },
        { text: `Retype ${user}@${host}'s new password: `, isEchoed: false },
      ]);
      if (first !== undefined && first === second) {
        return this.#wire.password(user, old, first);
      }
      conversation.show('Mismatch; try again.\n');
    }
    throw new ClientFailure('authentication', 'no new password was given');
  }

  async #dialogue(conversation: Conversation): Promise<Outcome | null> {
    if (!this.#mayTry('keyboard-interactive')) return null;
    let reply = await this.#wire.keyboardInteractive(this.#plan.user);
    let wasAsked = false;
    for (let round = 0; reply.is === 'prompts'; round += 1) {
      if (round >= maxRounds) throw tooManyRounds();
      wasAsked = true;
      for (const text of [reply.name, reply.instruction]) {
        if (text !== '') conversation.show(text.endsWith('\n') ? text : `${text}\n`);
      }
      const { user, host } = this.#plan;
      // The name before a prompt keeps a server from posing as a local question for a passphrase.
      const questions = reply.prompts.map(({ prompt, echo }) => ({
        text: `(${user}@${host}) ${prompt}`,
        isEchoed: echo === true,
      }));
      const answers = questions.length === 0 ? [] : await conversation.ask(questions);
      reply = await this.#wire.answer(answers);
    }
    // Refused without a question: asking again would only count as another failure.
    if (!wasAsked) this.#tries.set('keyboard-interactive', this.#plan.promptAttempts);
    return outcomeOf(reply);
  }
}

function tooManyRounds(): ClientFailure {
  return new ClientFailure('authentication', 'the server never stops asking');
}
