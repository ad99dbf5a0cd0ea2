/** `userauth-begin`: the first request of a connection fixes user and service (RFC 4252 §5). */
import { Authentication, type AuthenticationHost, authReply } from '../authentication.ts';
import { authIs, UserauthBegin } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { readShownFile } from '../shown-file.ts';

async function bannerFor({ host: { config, log } }: Authentication): Promise<Buffer> {
  const { banner } = config;
  const text =
    banner === undefined
      ? undefined
      : await readShownFile(banner, (why) => log.debug(`Banner ${banner}: ${why}`));
  return text ?? Buffer.alloc(0);
}

export function userauthBegin(host: Omit<AuthenticationHost, 'log'>): AnyRow {
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
      const authentication = new Authentication(connection, user, service, host);
      await authentication.start();
      connection.authentication = authentication;
      if (authentication.host.config.refuseConnection) {
        return { values: authentication.turnAway() };
      }
      if (!authentication.hasTriesLeft) {
        return { values: authentication.tooManyFailures() };
      }
      return {
        values: authentication.factors.areImpossible
          ? authentication.impossible()
          : authReply(authIs.refused, {
              banner: await bannerFor(authentication),
              canContinue: authentication.methods,
            }),
      };
    },
  });
}
