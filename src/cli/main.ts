/** `sshdesk COMMAND`: the program itself is loaded once its cache is known. Runs in: monitor (serve), user. */
import { useCompileCache } from './compile-cache.ts';

useCompileCache();
const { main } = await import('./program.ts');
await main(process.argv.slice(2));
