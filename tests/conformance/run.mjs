// Runs an edition of http-cache-tests against Holdfast: run.sh has its options. The suite's own client
// asks and judges; here are the processes, the sums, and the list of failures that are accepted.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Between } from './between.mjs'

const { values: options } = parseArgs({
  options: {
    suite: { type: 'string' }, // an unpacked edition
    work: { type: 'string' }, // folder for the store, the settings and the logs
    holdfast: { type: 'string' },
    accepted: { type: 'string' }, // folder of the lists
    id: { type: 'string', default: '' },
    mode: { type: 'string', default: 'rfc9111' },
    restart: { type: 'boolean', default: false },
    against: { type: 'string', default: '' },
    'origin-port': { type: 'string', default: '0' }
  }
})

// Later editions have all but the tests in a folder of their own.
const inEngine = path.join(options.suite, 'test-engine')
const engine = existsSync(inEngine) ? inEngine : options.suite
const load = file => import(pathToFileURL(path.resolve(file)))

process.on('uncaughtException', error => {
  console.error(`run.mjs: ${error.message}`)
  process.exit(2)
})

// ---- Processes ---------------------------------------------------------------

const children = new Set()
process.on('exit', () => children.forEach(child => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

// Resolves to the process and what `pattern` finds in its log, once it is there.
function start (name, command, args, environment, pattern) {
  const log = path.join(options.work, `${name}.log`)
  writeFileSync(log, '') // of a restarted one, what the first wrote is no sign
  const out = openSync(log, 'a')
  const child = spawn(command, args, {
    cwd: options.work,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', out, out]
  })
  children.add(child)
  const gone = new Promise(resolve => child.once('close', resolve))
  gone.then(() => children.delete(child))
  const began = Date.now()
  return new Promise((resolve, reject) => {
    const look = () => {
      const found = pattern.exec(readFileSync(log, 'utf8'))
      if (found) return resolve({ child, gone, found: found[1] })
      const late = Date.now() - began > 60000
      if (late || !children.has(child)) {
        return reject(new Error(`${name} did not start: ${readFileSync(log, 'utf8').slice(-500)}`))
      }
      setTimeout(look, 20)
    }
    look()
  })
}

async function startOrigin () {
  const environment = {
    npm_config_protocol: 'http',
    npm_config_port: options['origin-port'],
    npm_config_pidfile: path.join(options.work, 'origin.pid')
  }
  const server = path.join(path.resolve(engine), 'server', 'server.mjs')
  const origin = await start('origin', process.execPath, ['--no-warnings', server], environment, /Listening on .*:(\d+)\//)
  return origin.found
}

const ofMode = {
  rfc9111: `targeted = ["CDN-Cache-Control", "Surrogate-Control"]
vary_normalise = ["accept-language", "accept-encoding"]
ranges = "lenient"
transfer_coding = "lenient"`,
  // The contents are no JSON; and stale answers, at once or while the upstream is slow, which are the
  // mode's own, would hide what else is not as it should be.
  resilient: `validate = { json = false }
stale_while_revalidate = "0s"
stale_if_error = "0s"`
}

// Policies that a single answer of the origin's decides are out of the way: each request of the
// suite is sent once, and none waits for the others, which all run at the same time.
function settings (originPort) {
  return `store_path = "${path.join(options.work, 'store.db')}"
upstream_concurrency = 1000
hedge = "off"

[upstream.origin]
urls = ["http://127.0.0.1:${originPort}"]

[[route]]
name = "suite"
match = "/{path:rest}"
methods = "*"
upstream = "origin"
mode = "${options.mode}"
set_cookie = "store"
attempts = 1
${ofMode[options.mode]}
`
}

class Holdfast {
  async start (port) {
    const args = ['--config', path.join(options.work, 'holdfast.toml')]
    this.process = await start('holdfast', options.holdfast, args, { BIND: '127.0.0.1', PORT: port }, /"port":(\d+)/)
    this.port = this.process.found
  }

  async restart () {
    this.process.child.kill('SIGTERM')
    await this.process.gone
    await this.start(this.port)
  }
}

// ---- The suite -----------------------------------------------------------------

const program = path.resolve(engine, 'cli.mjs')
const imports = pattern => [...readFileSync(program, 'utf8').matchAll(pattern)].map(found => found[1])

// Those that the suite's own program runs.
async function readTests () {
  const sets = []
  for (const file of imports(/from '(\.[^']*\/tests\/[^']+)'/g)) {
    sets.push((await load(path.join(engine, file))).default)
  }
  return sets.flat()
    .map(set => ({ ...set, tests: set.tests.filter(test => !test.browser_only && (options.id ? test.id === options.id : isAsked(test.kind))) }))
    .filter(set => set.tests.length > 0)
}

// The one that it asks with.
async function readFetch () {
  const [name] = imports(/import fetch from '([^']+)'/g)
  if (!name) return globalThis.fetch
  return (await import(pathToFileURL(createRequire(program).resolve(name)))).default
}

// Ends the daemon and starts it again before any but the first request of a test, for all tests that
// are so far together: while nothing is under way, and nobody asks for anything meanwhile.
class Restarts {
  constructor (daemon) {
    Object.assign(this, { daemon, count: 0, underWay: 0, quiet: 0, waiting: [], busy: undefined })
    setInterval(() => this.look(), 50).unref()
  }

  async around (url, init, ask) {
    const number = init.headers?.find(([name]) => name === 'Req-Num')?.[1]
    if (Number(number) > 1) {
      await new Promise(resolve => this.waiting.push(resolve))
    } else {
      while (this.busy) await this.busy
    }
    this.underWay++
    return ask(url, init).finally(() => this.underWay--)
  }

  look () {
    const idle = !this.busy && this.underWay === 0 && this.waiting.length > 0
    // Twice, as who has an answer may have the next thing to ask at once.
    this.quiet = idle ? this.quiet + 1 : 0
    if (this.quiet < 2) return
    this.busy = this.daemon.restart().then(() => {
      this.busy = undefined
      this.count++
      this.waiting.splice(0).forEach(go => go())
    })
  }
}

// ---- Sums ----------------------------------------------------------------------

// Lines of "id: reason". An edition that has a list of its own has its folder's name in the file's, and
// so has a mode that is not the letter. With restarts there is a second list.
function readAccepted () {
  const own = path.join(options.accepted, `accepted-${path.basename(path.resolve(options.suite))}.txt`)
  const usual = path.join(options.accepted, options.mode === 'rfc9111' ? 'accepted.txt' : `accepted-${options.mode}.txt`)
  const file = options.mode === 'rfc9111' && existsSync(own) ? own : usual
  const accepted = new Map()
  const texts = [readFileSync(file, 'utf8')]
  if (options.restart && options.mode === 'rfc9111') texts.push(readFileSync(path.join(options.accepted, 'accepted-restart.txt'), 'utf8'))
  for (const line of texts.join('\n').split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const found = /^([^\s:]+): (\S.*)$/.exec(line)
    if (!found || accepted.has(found[1])) throw new Error(`${file}: not "id: reason", or there twice: ${line}`)
    accepted.set(found[1], found[2])
  }
  return accepted
}

// Of a mode that is not the letter nobody counts what is not judged.
function isAsked (kind) {
  return options.mode === 'rfc9111' || isJudged(kind)
}

// The others ask what a cache does, and none of it is wrong; or, where RFC 9111 only allows something,
// what a resilient route has its own ways of.
function isJudged (kind = 'required') {
  return kind === 'required' || (kind === 'optimal' && options.mode === 'rfc9111')
}

// Many of them have lifetimes of two seconds, which a busy machine takes between two requests. So
// what fails is tried again, alone, and fails if it does so each time. More than a few are no chance;
// but a restart of all at once takes from each lifetime what it takes itself.
function askAgain (tests, results, accepted) {
  const fails = ({ id, kind }) => isJudged(kind) && results[id] !== true && !accepted.has(id)
  const failing = tests.filter(fails)
  if (failing.length > (options.restart ? 60 : 20) || options.against) return
  for (const { id } of failing) {
    for (let i = 0; i < (options.restart ? 4 : 2) && results[id] !== true; i++) {
      const work = mkdtempSync(path.join(options.work, 'again-'))
      const words = [...process.execArgv, ...process.argv.slice(1), '--id', id, '--work', work]
      const { status } = spawnSync(process.execPath, words, { timeout: 60000 })
      if (status === 0) results[id] = true
    }
  }
}

// Whether all is as the list says.
function report (tests, results, accepted) {
  let passed = 0
  let failed = 0
  for (const kind of ['required', 'optimal', 'check']) {
    const all = tests.filter(test => (test.kind ?? 'required') === kind)
    const good = all.filter(test => results[test.id] === true)
    if (!isAsked(kind) && !options.id) continue
    if (!isJudged(kind)) {
      console.log(`${kind.padEnd(8)} ${good.length}/${all.length} are so`)
      continue
    }
    console.log(`${kind.padEnd(8)} ${good.length}/${all.length}`)
    for (const { id } of all) {
      const passes = results[id] === true
      const reason = accepted.get(id)
      // What is listed has to fail.
      if (passes === (reason === undefined)) passed++
      else failed++
      if (passes && reason === undefined) continue
      const [name, message] = passes ? ['', 'passes, and is listed as accepted'] : results[id] ?? ['', 'did not run']
      const before = ['', 'Assertion'].includes(name) ? '' : `${name}: `
      console.log(`  ${id}: ${before}${message}${!passes && reason ? ` (accepted: ${reason})` : ''}`)
    }
  }
  console.log(`${passed} passed, ${failed} failed`)
  return failed === 0
}

// ---- Run -----------------------------------------------------------------------

const accepted = readAccepted()
const sets = await readTests()
const tests = sets.flatMap(set => set.tests)
if (tests.length === 0) throw new Error(`there is no test ${options.id}`)
if (options.id) tests.forEach(test => { test.dump = true })

let originPort = await startOrigin()
const between = options.mode === 'resilient' && !options.against ? new Between() : undefined
if (between) originPort = await between.start(originPort)
let base = options.against
const holdfast = new Holdfast()
if (!base) {
  writeFileSync(path.join(options.work, 'holdfast.toml'), settings(originPort))
  await holdfast.start('0')
  base = `http://127.0.0.1:${holdfast.port}`
}

const { runTests, getResults } = await load(path.join(engine, 'client', 'runner.mjs'))
const plain = await readFetch()
const ask = between ? (url, init = {}) => between.around(url, init, plain) : plain
const restarts = options.restart ? new Restarts(holdfast) : undefined
const fetch = (url, init = {}) => restarts ? restarts.around(url, init, ask) : ask(url, init)
globalThis.fetch = fetch // some editions ask with this one, whatever they are given
// All at the same time: each has a URL of its own, and most of what they do is wait.
await runTests(sets, fetch, false, base, tests.length)
if (restarts) console.log(`restarts ${restarts.count}`)
const results = getResults()
if (!options.id) askAgain(tests, results, accepted)
process.exit(report(tests, results, accepted) ? 0 : 1)
