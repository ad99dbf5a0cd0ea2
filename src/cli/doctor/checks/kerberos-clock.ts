/** The clock of this host beside the KDC's: a realm allows five minutes. Runs in: user. */
import { resolveSrv } from 'node:dns/promises';
import { type Check, fail, type Finding, ok, warn, within } from '../check.ts';
import { type Kdc, timeOfKdc } from '../kdc-clock.ts';
import { firstOf, type Krb5Conf, readKrb5Conf } from '../krb5-conf.ts';

const usualPort = 88;
const dnsPatienceMs = 3000;
const allowedSeconds = 300;
/** Beyond this something is wrong that will get worse. */
const noticedSeconds = 60;
const maxKdcs = 3;

/** `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`; what goes by a URL of its own is not asked. */
function kdcOf(written: string): readonly Kdc[] {
  const parts = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(written);
  const host = parts?.[1] ?? parts?.[2];
  return host === undefined ? [] : [{ host, port: Number(parts?.[3] ?? usualPort) }];
}

async function kdcsOf(conf: Krb5Conf, realm: string): Promise<readonly Kdc[]> {
  const named = (conf.values.get(`realms/${realm}/kdc`) ?? []).flatMap(kdcOf);
  if (named.length > 0) return named.slice(0, maxKdcs);
  const records = resolveSrv(`_kerberos._udp.${realm}`).catch(() => []);
  return ((await within(records, dnsPatienceMs)) ?? [])
    .slice(0, maxKdcs)
    .map(({ name, port }) => ({ host: name, port }));
}

function judged(kdc: Kdc, time: Date, now: number): Finding {
  // Their time has whole seconds.
  const seconds = Math.round((now - time.getTime()) / 1000);
  const way = seconds > 0 ? 'ahead of' : 'behind';
  const what = `this clock is ${Math.abs(seconds)} s ${way} that of the KDC ${kdc.host}`;
  const remedy = 'timedatectl set-ntp true, here and there';
  if (Math.abs(seconds) >= allowedSeconds) return fail(`${what}: no ticket is taken`, remedy);
  return Math.abs(seconds) >= noticedSeconds ? warn(what, remedy) : ok(what);
}

export const kerberosClock: Check = {
  name: 'Kerberos clock',
  applies: ({ configuration }) => configuration?.config.gssapiAuthentication === true,
  async look({ environment, hostName }) {
    const conf = readKrb5Conf(environment);
    const realm = conf === undefined ? undefined : firstOf(conf, 'libdefaults/default_realm');
    if (conf === undefined || realm === undefined) return [];
    const kdcs = await kdcsOf(conf, realm);
    const answers = await Promise.all(
      kdcs.map(async (kdc) => {
        const time = await timeOfKdc(kdc, realm, hostName);
        return time === undefined ? [] : [judged(kdc, time, Date.now())];
      }),
    );
    const heard = answers.flat();
    if (heard.length > 0) return heard;
    const asked = kdcs.map(({ host, port }) => `${host}:${port}`).join(', ');
    return [
      warn(
        asked === ''
          ? `no KDC of ${realm} is found, so its clock is not known`
          : `no KDC answers over UDP (${asked}), so its clock is not known`,
        'logins need no KDC here; clients do. Compare the clocks by hand: date -u',
      ),
    ];
  },
};
