// JSON lines on standard input and output: how the tests drive every program in this folder.
import { createInterface } from 'node:readline'

/** Print one event or reply. */
export function emit (value) {
  process.stdout.write(JSON.stringify(value) + '\n')
}

/**
 * Run commands until the input ends. Each is `{id, cmd, ...}` and is answered with `{id, ok, ...}`; `commands` maps
 * names to async functions of the command that return the fields of the reply.
 */
export async function serve (commands, stop) {
  const input = createInterface({ input: process.stdin })
  input.on('line', async line => {
    const command = JSON.parse(line)
    try {
      const run = commands[command.cmd]
      if (run == null) throw new Error(`no command ${command.cmd}`)
      emit({ id: command.id, ok: true, ...(await run(command)) })
    } catch (err) {
      emit({ id: command.id, ok: false, name: err.name, error: String(err.message ?? err) })
    }
  })
  await new Promise(resolve => input.on('close', resolve))
  // A peer that does not end within a second is ended: a test that is over waits for nobody.
  setTimeout(() => process.exit(0), 1000).unref()
  await stop()
  process.exit(0)
}
