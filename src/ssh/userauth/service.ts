/**
 * User authentication (RFC 4252) and the service requests before it (RFC 4253 §10). Runs in: worker.
 * It parses and keeps order; the authority decides, and delays what has to look alike.
 *
 * Everything is handled strictly in the order in which it came: what arrives while the authority
 * thinks waits in a bounded queue. So a client may pipeline requests, and what it sends behind the
 * request that succeeds reaches the connection protocol (RFC 4252 §5.1).
 */
import { ByApplication, ProtocolError, ServiceUnavailable } from '../../base/errors.ts';
import {
  queuedAuthRequestBytes,
  queuedAuthRequests,
  serviceRequests,
  userNameBytes,
} from '../../base/limits.ts';
import type { Transport } from '../transport/transport.ts';
import { Reader } from '../wire/reader.ts';
import type { Authority, AuthOutcome } from './authority.ts';
import {
  firstConnectionNumber,
  firstMethodNumber,
  lastMethodNumber,
  ServiceAccept,
  ServiceRequest,
  UserauthBanner,
  UserauthFailure,
  UserauthRequest,
  UserauthSuccess,
} from './messages.ts';
import type { MethodContext, MethodMessages, MethodStep } from './method.ts';
import { methods } from './methods.ts';

/** What runs on top once the user is known: the connection protocol. */
export interface AuthenticatedService {
  /** A payload with a number of 80 or above. */
  receive(payload: Buffer): void;
  drained(): void;
  closed(): void;
}

const noMessages: MethodMessages = new Map();
const reasonProtocolError = 2;
/** RFC 4250 §4.6.1; what is longer is no name, and is not carried on. */
const methodNameLength = 64;
const shownBytes = 100;

export class UserauthService {
  readonly #transport: Transport;
  readonly #authority: Authority;
  readonly #context: MethodContext;
  readonly #startService: () => AuthenticatedService;
  #service: AuthenticatedService | undefined;
  #serviceRequests = 0;
  #first: Claim | undefined;
  /** Messages 60–79 of the method that is running. */
  #live: MethodMessages = noMessages;
  #isThinking = false;
  #isCongested = false;
  #isClosed = false;
  #queue: Buffer[] = [];
  #queuedBytes = 0;

  /** `startService` is called once, right after USERAUTH_SUCCESS. */
  constructor(
    transport: Transport,
    authority: Authority,
    startService: () => AuthenticatedService,
  ) {
    this.#transport = transport;
    this.#authority = authority;
    this.#context = { authority };
    this.#startService = startService;
  }

  /** The transport's `onPayload`. */
  receive(payload: Buffer): void {
    const isReady = !this.#isThinking && this.#queue.length === 0;
    if (this.#service !== undefined && isReady && (payload[0] as number) >= firstConnectionNumber) {
      this.#service.receive(payload);
      return;
    }
    if (!isMeaningful(payload[0] as number)) {
      this.#transport.unimplemented();
      return;
    }
    if (isReady && (!this.#isCongested || this.#service !== undefined)) {
      this.#handle(payload);
      return;
    }
    if (
      this.#queue.length >= queuedAuthRequests ||
      this.#queuedBytes + payload.length > queuedAuthRequestBytes
    ) {
      throw new ProtocolError('too many messages before the answer to a USERAUTH_REQUEST');
    }
    const copy = Buffer.from(payload);
    payload.fill(0);
    this.#queue.push(copy);
    this.#queuedBytes += copy.length;
  }

  /** The transport's `onDrain`. */
  drained(): void {
    this.#isCongested = false;
    this.#service?.drained();
    this.#handleQueued();
  }

  /** The transport's `onClose`. */
  closed(): void {
    this.#isClosed = true;
    this.#forgetQueue();
    this.#service?.closed();
  }

  #send(payload: Buffer): void {
    if (!this.#transport.send(payload)) {
      this.#isCongested = true;
    }
  }

  #handleQueued(): void {
    while (!this.#isThinking && !this.#isClosed) {
      if (this.#isCongested && this.#service === undefined) {
        return; // a client that asks and does not read gets no further answers
      }
      const payload = this.#queue.shift();
      if (payload === undefined) {
        return;
      }
      this.#queuedBytes -= payload.length;
      this.#handle(payload);
    }
  }

  #forgetQueue(): void {
    for (const payload of this.#queue) {
      payload.fill(0);
    }
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #handle(payload: Buffer): void {
    const number = payload[0] as number;
    if (this.#service !== undefined) {
      this.#handleAfterSuccess(payload, this.#service);
    } else if (number === ServiceRequest.number) {
      this.#acceptService(payload);
    } else if (number === UserauthRequest.number) {
      this.#think(this.#answerRequest(payload));
    } else {
      const handler = this.#live.get(number);
      if (handler === undefined) {
        throw new ProtocolError(`message ${number} in the midst of authentication`);
      }
      this.#live = noMessages;
      this.#think(handler(payload).then((step) => this.#take(step)));
    }
  }

  #handleAfterSuccess(payload: Buffer, service: AuthenticatedService): void {
    const number = payload[0] as number;
    if (number >= firstConnectionNumber) {
      service.receive(payload);
    } else if (number === UserauthRequest.number) {
      payload.fill(0); // RFC 4252 §5.1: ignored, whoever it is for
    } else {
      // RFC 4253 §11.4, as sshd: messages of a service or method that is over are not known here.
      this.#transport.unimplemented();
    }
  }

  #acceptService(payload: Buffer): void {
    const { service } = ServiceRequest.decode(payload);
    if (service !== 'ssh-userauth') {
      throw new ServiceUnavailable(`bad service request ${service.slice(0, 100)}`);
    }
    this.#serviceRequests++;
    if (this.#serviceRequests > serviceRequests) {
      throw new ProtocolError('too many service requests');
    }
    this.#send(ServiceAccept.encode({ service }));
  }

  /** Runs one step; whatever it throws ends the connection. */
  #think(step: Promise<void>): void {
    this.#isThinking = true;
    step
      .then(() => {
        this.#isThinking = false;
        this.#handleQueued();
      })
      .catch((error: unknown) => {
        if (!this.#isClosed) {
          this.#transport.disconnect(
            error instanceof Error ? error : new Error('userauth threw no error', { cause: error }),
          );
        }
      });
  }

  async #answerRequest(payload: Buffer): Promise<void> {
    if (this.#serviceRequests === 0) {
      throw new ProtocolError('USERAUTH_REQUEST before SERVICE_REQUEST');
    }
    const request = UserauthRequest.decode(payload);
    this.#live = noMessages; // RFC 4252 §5.1: a new request abandons the one in progress
    const fields = new Reader(request.data);
    if (this.#first === undefined) {
      const begun = await this.#begin(request.claimedUser, request.service);
      const isAnswered = request.method === 'none' || begun.is === 'accepted';
      if (request.method === 'none') {
        fields.end();
      }
      if (isAnswered || begun.is === 'disconnect') {
        if (begun.is !== 'refused') {
          this.#takeOutcome(begun);
          return;
        }
        this.#sendBanner(begun.banner);
        this.#takeOutcome(await this.#authority.none(begun));
        return;
      }
      this.#sendBanner(begun.banner);
    } else if (
      !this.#first.user.equals(request.claimedUser) ||
      this.#first.service !== request.service
    ) {
      throw new ByApplication(
        'Change of username or service not allowed',
        changeOf(this.#first, request),
        reasonProtocolError,
      );
    }
    const method = methods.get(request.method);
    if (method === undefined) {
      const name = request.method.slice(0, methodNameLength);
      this.#takeOutcome(await this.#authority.refuseMethod(name));
      return;
    }
    this.#take(await method.start(fields, this.#context));
  }

  async #begin(claimedUser: Buffer, service: string): Promise<AuthOutcome> {
    if (service !== 'ssh-connection') {
      throw new ServiceUnavailable('a USERAUTH_REQUEST for a service other than ssh-connection');
    }
    if (claimedUser.length > userNameBytes) {
      throw new ProtocolError(`a user name of ${claimedUser.length} bytes`);
    }
    const user = Buffer.from(claimedUser);
    this.#first = { user, service };
    return this.#authority.begin(user, service);
  }

  #take(step: MethodStep): void {
    if (step.is === 'outcome') {
      if (step.before !== undefined && !this.#isClosed) {
        this.#send(step.before);
      }
      this.#takeOutcome(step.outcome);
      return;
    }
    if (this.#isClosed) {
      return;
    }
    this.#sendBanner(step.banner);
    this.#live = step.next ?? noMessages;
    if (step.payload !== undefined) {
      this.#send(step.payload);
    }
  }

  #takeOutcome(outcome: AuthOutcome): void {
    if (this.#isClosed) {
      return;
    }
    this.#sendBanner(outcome.banner);
    switch (outcome.is) {
      case 'accepted':
        this.#send(UserauthSuccess.encode({}));
        this.#transport.authenticated();
        this.#service = this.#startService();
        return;
      case 'partial':
      case 'refused':
        this.#send(
          UserauthFailure.encode({
            canContinue: outcome.canContinue,
            partialSuccess: outcome.is === 'partial',
          }),
        );
        return;
      case 'disconnect':
        throw new ByApplication(outcome.peerText, outcome.peerText, outcome.reason);
      case 'prompt':
      case 'acceptable':
      case 'mechanism':
      case 'token':
        throw new Error(`the authority answered "${outcome.is}" where that is no answer`);
    }
  }

  #sendBanner(banner: Buffer | undefined): void {
    if (banner !== undefined && banner.length > 0) {
      this.#send(UserauthBanner.encode({ text: banner, language: Buffer.alloc(0) }));
    }
  }
}

type Claim = { readonly user: Buffer; readonly service: string };

/** sshd's words; bounded, since both are the client's. */
function changeOf(
  first: Claim,
  { claimedUser, service }: { readonly claimedUser: Buffer; readonly service: string },
): string {
  const shown = (claim: Claim): string =>
    `(${claim.user.subarray(0, shownBytes).toString()},${claim.service.slice(0, shownBytes)})`;
  return `Change of username or service not allowed: ${shown(first)} -> ${shown({ user: claimedUser, service })}`;
}

/** What is not even assigned is answered with UNIMPLEMENTED; the rest is taken in order. */
function isMeaningful(number: number): boolean {
  return (
    (number >= ServiceRequest.number && number <= ServiceAccept.number) ||
    (number >= UserauthRequest.number && number <= UserauthBanner.number) ||
    (number >= firstMethodNumber && number <= lastMethodNumber) ||
    number >= firstConnectionNumber
  );
}
