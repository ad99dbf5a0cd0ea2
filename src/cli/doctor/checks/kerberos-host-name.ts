/** The name by which clients ask for this host: complete, and the same both ways. Runs in: user. */
import { lookup, lookupService } from 'node:dns/promises';
import { type Check, type Finding, ok, reasonOf, warn, within } from '../check.ts';

const patienceMs = 5000;
/** Some port that lookupService wants; no name of a service is looked at. */
const anyPort = 22;

async function look(host: string): Promise<readonly Finding[]> {
  let addresses: readonly string[];
  try {
    addresses = (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (error) {
    return [warn(`${host} has no address: ${reasonOf(error)}`, 'an entry in DNS or /etc/hosts')];
  }
  const names = await Promise.all(
    addresses.map((address) =>
      lookupService(address, anyPort).then(
        ({ hostname }) => hostname,
        () => 'no name',
      ),
    ),
  );
  const others = [...new Set(names.filter((name) => name.toLowerCase() !== host.toLowerCase()))];
  return others.length === 0
    ? [ok(`${host} is ${addresses.join(', ')}, and back`)]
    : [
        warn(
          `${host} is ${addresses.join(', ')}, which is ${others.join(', ')}`,
          'clients whose krb5.conf has rdns or dns_canonicalize_hostname ask for the other name: the same name both ways, or rdns = false',
        ),
      ];
}

export const kerberosHostName: Check = {
  name: 'Kerberos host name',
  applies: ({ configuration }) => configuration?.config.gssapiAuthentication === true,
  async look({ hostName }) {
    const short = hostName.includes('.')
      ? []
      : [
          warn(
            `this host calls itself ${hostName}, without a domain; clients ask for the full name`,
            'hostnamectl hostname NAME.DOMAIN, or GSSAPIStrictAcceptorCheck no',
          ),
        ];
    const late = [warn(`no address of ${hostName} within ${patienceMs / 1000} s`, 'look at DNS')];
    return [...short, ...((await within(look(hostName), patienceMs)) ?? late)];
  },
};
