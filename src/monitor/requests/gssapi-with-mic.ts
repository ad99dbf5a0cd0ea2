/**
 * `start-gssapi`, `gssapi-token`, `gssapi-mic` (RFC 4462 §3), Kerberos alone. The leader takes the
 * tokens and checks the MIC, over bytes that are built here; who may be the user with a principal is
 * krb5_kuserok's to say. A user who does not exist, or may not log in, goes through all of it.
 * Runs in: monitor.
 */
import { gssCheck, gssStart, gssToken } from '../../../pam/leader-protocol.ts';
import { MonitorRefusal } from '../../base/errors.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import { type AuthReply, authReply } from '../auth-reply.ts';
import { type Authentication, authenticationOf } from '../authentication.ts';
import { waitAsRefused } from '../failure-delay.ts';
import { authIs, GssapiMic, GssapiToken, StartGssapi } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

const method = 'gssapi-with-mic';
const userauthRequest = 50;
/** RFC 1964 §1 in DER, with tag and length (RFC 4462 §3.2). */
const kerberos = Buffer.from('06092a864886f712010202', 'hex');

/** RFC 4462 §3.5 */
function signedBytes({ candidate, service }: Authentication): Buffer {
  const { connection, claimedUser } = candidate;
  if (connection.sessionId === undefined) {
    throw new MonitorRefusal('a MIC before the first key exchange');
  }
  return new Writer()
    .string(connection.sessionId)
    .byte(userauthRequest)
    .string(claimedUser)
    .text(service)
    .text(method)
    .done();
}

/** At a time that tells nothing. */
async function refuse(authentication: Authentication, startedMs: number): Promise<AuthReply> {
  await waitAsRefused(authentication.candidate.host, startedMs, 0);
  return authentication.refuse(method);
}

export function startGssapi(): AnyRow {
  return row({
    schema: StartGssapi,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { mechanisms }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      const isOffered = authentication.methods.includes(method);
      if (!isOffered || !mechanisms.some((mechanism) => mechanism.equals(kerberos))) {
        return { values: authentication.refuse(method, undefined, false) };
      }
      const { host, leader } = authentication.candidate;
      const { config, log } = host;
      // The leader forgets those of an earlier exchange.
      authentication.hasTickets = false;
      const started = await leader.gssStart(config.gssapiStrictAcceptorCheck);
      if (started.verdict !== gssStart.ready) {
        // The fault is this host's.
        log.error(`GSSAPI: ${started.reason}`);
        return { values: authentication.refuse(method, undefined, false) };
      }
      authentication.exchange = { method, isComplete: false };
      return {
        values: authentication.postponed(method, authReply(authIs.mechanism, { token: kerberos })),
      };
    },
  });
}

export function gssapiToken(): AnyRow {
  return row({
    schema: GssapiToken,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { token }) {
      const authentication = authenticationOf(connection);
      const { exchange } = authentication;
      if (exchange === undefined || exchange.isComplete) {
        throw new MonitorRefusal('a token where none was asked for');
      }
      const { host, leader } = authentication.candidate;
      const answer = await leader.gssToken(token);
      if (answer.verdict === gssToken.failed) {
        authentication.exchange = undefined;
        host.log.verbose(`GSSAPI: ${answer.reason}`);
        return { values: { ...authentication.refuse(method), token: answer.token } };
      }
      const isComplete = answer.verdict === gssToken.complete;
      authentication.exchange = { method, isComplete };
      const is = isComplete ? authIs.lastToken : authIs.token;
      return { values: authReply(is, { token: answer.token }) };
    },
  });
}

export function gssapiMic(): AnyRow {
  return row({
    schema: GssapiMic,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { mic }) {
      const authentication = authenticationOf(connection);
      if (authentication.exchange?.isComplete !== true) {
        throw new MonitorRefusal('a MIC before the exchange was complete');
      }
      authentication.exchange = undefined;
      const { host, isValid, leader, logged, loggedPlain } = authentication.candidate;
      const { log, nowMs } = host;
      const startedMs = nowMs();
      const checked = await leader.gssCheck(signedBytes(authentication), mic);
      if (checked.verdict === gssCheck.badMic) {
        log.info('GSSAPI MIC check failed');
        return { values: await refuse(authentication, startedMs) };
      }
      const principal = checked.text;
      if (!isValid || checked.verdict !== gssCheck.authorised) {
        log.verbose(`GSSAPI: ${principal} may not log in as ${logged}`);
        return { values: await refuse(authentication, startedMs) };
      }
      log.info(`Authorized to ${loggedPlain}, krb5 principal ${principal} (krb5_kuserok)`);
      authentication.hasTickets = true;
      return {
        values: await authentication.accept(
          method,
          '',
          { text: principal, fields: { principal } },
          undefined,
        ),
      };
    },
  });
}
