/** ssh_config of the client: options, or ConfigError with a place; nothing is run. */
import assert from 'node:assert/strict';
import { ConfigError } from '../../../src/base/errors.ts';
import { applyConfig } from '../../../src/ssh/client/config-file.ts';
import { expandTokens, OptionCollector } from '../../../src/ssh/client/options.ts';
import type { FuzzTarget } from '../target.ts';

export const sshConfig: FuzzTarget = {
  name: 'ssh-config',
  isStream: false,
  perSecond: 8_000,
  seeds: () => [
    Buffer.from(
      'Host *.example !x\n  HostName %h.net\n  Port=22\n User "a b"\nIdentityFile ~/.ssh/%r\n',
    ),
    Buffer.from(
      'Match host x,!y user \'z\'\n BatchMode yes\nMatch all\nMatch exec "touch /tmp/x"\n',
    ),
    Buffer.from(
      'Include a b\nProxyCommand none\nProxyJump x\nConnectTimeout 5\n# c\nUserKnownHostsFile a b c\n',
    ),
    Buffer.from('Match final host *.example\nCiphers ^aes256-ctr\nMACs -*\nKexAlgorithms +ecdh*\n'),
    Buffer.from(
      'Host a\tb\n\tIdentitiesOnly yes # c\nStrictHostKeyChecking=accept-new\nNoSuch x\n',
    ),
  ],
  async run([input = Buffer.alloc(0)]) {
    const options = new OptionCollector();
    let included = 0;
    try {
      await applyConfig(
        { path: 'file', text: input.toString('utf8') },
        {
          originalHost: 'host.example',
          host: 'host.example',
          isFinalPass: input.length % 2 === 1,
          localUser: 'me',
          defaultUser: 'me',
        },
        options,
        async (pattern) => {
          included++;
          return included > 3 ? [] : [{ path: pattern, text: input.toString('latin1') }];
        },
      );
    } catch (error) {
      assert.ok(error instanceof ConfigError, (error as Error).stack);
      assert.ok(error.message.length < 100_000);
    }
    for (const value of options.text.values()) {
      expandTokens(value, { h: 'host' }, {});
    }
  },
};
