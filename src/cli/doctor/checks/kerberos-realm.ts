/** /etc/krb5.conf: there, and which realm this host is of. Runs in: user. */
import { type Check, fail, ok, warn } from '../check.ts';
import { firstOf, readKrb5Conf } from '../krb5-conf.ts';

export const kerberosRealm: Check = {
  name: 'Kerberos realm',
  applies: ({ configuration }) => configuration?.config.gssapiAuthentication === true,
  look({ environment }) {
    const conf = readKrb5Conf(environment);
    if (conf === undefined) {
      return [
        fail('/etc/krb5.conf is not there, or cannot be read', 'write it, with default_realm'),
      ];
    }
    const realm = firstOf(conf, 'libdefaults/default_realm');
    if (realm === undefined) {
      return [
        fail(
          `${conf.file} names no default_realm`,
          'a line default_realm = REALM in [libdefaults]',
        ),
      ];
    }
    const isKnown =
      conf.values.has(`realms/${realm}/kdc`) ||
      firstOf(conf, 'libdefaults/dns_lookup_kdc')?.match(/^(?:no|false|off|0)$/i) === null ||
      firstOf(conf, 'libdefaults/dns_lookup_kdc') === undefined;
    return [
      isKnown
        ? ok(`${realm}, by ${conf.file}`)
        : warn(
            `${realm} has no kdc in ${conf.file}, and DNS is not asked for one`,
            'kdc = HOST in [realms]',
          ),
    ];
  },
};
