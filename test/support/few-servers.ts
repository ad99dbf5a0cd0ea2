/**
 * Servers of several configurations, of which only the last few run: what a file of tests starts does
 * not fill the machine, and nothing stays behind when it is cut off. Runs in: test.
 */
import { startServer, type TestServer } from './server.ts';

export class FewServers implements AsyncDisposable {
  readonly #most: number;
  /** Oldest first. */
  readonly #running = new Map<string, TestServer>();
  #isOver = false;

  constructor(most = 2) {
    this.#most = most;
  }

  /** The one with these lines, started if it does not run; the one used longest ago is stopped. */
  async with(config: readonly string[]): Promise<TestServer> {
    const key = config.join('\n');
    const known = this.#running.get(key);
    if (known !== undefined) {
      this.#running.delete(key);
      this.#running.set(key, known);
      return known;
    }
    const [oldest] = this.#running;
    if (oldest !== undefined && this.#running.size >= this.#most) {
      this.#running.delete(oldest[0]);
      await oldest[1].stop();
    }
    const server = await startServer({ config });
    if (this.#isOver) {
      await server.stop();
      throw new Error('the tests were over when the server had started');
    }
    this.#running.set(key, server);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#running.values()].map((server) => server.stop()));
  }
}
