/** The methods that this server can run; a name that is not here is refused. Runs in: worker. */
import type { Method } from './method.ts';
import { gssapiWithMic } from './methods/gssapi-with-mic.ts';
import { keyboardInteractive } from './methods/keyboard-interactive.ts';
import { none } from './methods/none.ts';
import { password } from './methods/password.ts';
import { publickey, publickeyHostbound } from './methods/publickey.ts';

export const methods: ReadonlyMap<string, Method> = new Map(
  [none, password, keyboardInteractive, gssapiWithMic, publickey, publickeyHostbound].map(
    (method) => [method.name, method],
  ),
);
