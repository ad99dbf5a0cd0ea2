/** `userauth-begin`: the first request of a connection fixes user and service (RFC 4252 §5). */
import { authReply } from '../auth-reply.ts';
import { Authentication } from '../authentication.ts';
import type { AuthenticationHost } from '../authentication-host.ts';
import { lookUpCandidate } from '../candidate.ts';
import { Handshake, handshakeUser } from '../handshake.ts';
import { authIs, UserauthBegin } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { readShownFile } from '../shown-file.ts';

async function bannerFor({
  config,
  log,
}: Pick<AuthenticationHost, 'config' | 'log'>): Promise<Buffer> {
  const { banner } = config;
  const text =
    banner === undefined
      ? undefined
      : await readShownFile(banner, (why) => log.debug(`Banner ${banner}: ${why}`));
  return text ?? Buffer.alloc(0);
}

/** `answersForNx`: NXLegacyAccount. */
export function userauthBegin(
  host: Omit<AuthenticationHost, 'log'>,
  answersForNx: boolean,
): AnyRow {
  return row({
    schema: UserauthBegin,
    phase: ['preauth'],
    once: true,
    decides: true,
    serial: true,
    async handle(connection, { user, service }) {
      if (service !== 'ssh-connection') {
        return {
          values: authReply(authIs.disconnect, { reason: 7, peerText: 'Service not available' }),
        };
      }
      if (answersForNx && user.equals(handshakeUser)) {
        const handshake = new Handshake(connection, host);
        connection.handshake = handshake;
        connection.authentication = handshake;
        return { values: handshake.begin(await bannerFor(handshake)) };
      }
      const candidate = await lookUpCandidate(connection, user, host);
      const authentication = new Authentication(candidate, service);
      connection.authentication = authentication;
      if (candidate.host.config.refuseConnection) {
        return { values: authentication.turnAway() };
      }
      if (!authentication.attempts.hasTriesLeft) {
        return { values: authentication.tooManyFailures() };
      }
      return {
        values: authentication.factors.areImpossible
          ? authentication.impossible()
          : authReply(authIs.refused, {
              banner: await bannerFor(candidate.host),
              canContinue: authentication.methods,
            }),
      };
    },
  });
}
