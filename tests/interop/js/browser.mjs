// Builds the page, serves it, opens it in headless Chromium and plays the person in front of it.
import { createServer } from 'node:http'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { emit, serve } from './lines.mjs'

const here = import.meta.dirname
const bundle = await build({
  entryPoints: [join(here, 'page', 'page.mjs')],
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  define: { global: 'globalThis', 'process.env.NODE_DEBUG': 'undefined' },
  logLevel: 'error',
  write: false
})
const files = new Map([
  ['/', ['text/html; charset=utf-8', readFileSync(join(here, 'page', 'index.html'))]],
  ['/page.js', ['text/javascript', bundle.outputFiles[0].contents]]
])
const server = createServer((request, response) => {
  const found = files.get(request.url)
  response.writeHead(found == null ? 404 : 200, { 'content-type': found?.[0] ?? 'text/plain' })
  response.end(found?.[1] ?? '')
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))

const profile = mkdtempSync(join(tmpdir(), 'p2pchat-page-'))
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'
  ]
})
const page = await browser.newPage()
page.on('console', message => emit({ event: 'console', text: message.text() }))
page.on('pageerror', err => emit({ event: 'pageerror', text: String(err) }))
await page.goto(`http://127.0.0.1:${server.address().port}/`)
await page.waitForFunction(() => document.getElementById('output').textContent.includes('I am '))
const lines = () => page.locator('#output > div').allTextContents()
emit({ event: 'ready', peer: (await lines())[0].replace('I am ', '') })

await serve({
  async connect ({ address }) {
    const before = (await lines()).length
    await page.fill('#peer', address)
    await page.click('#connect')
    await page.waitForFunction(n => {
      const said = [...document.querySelectorAll('#output > div')].slice(n).map(e => e.textContent)
      return said.some(t => t.startsWith('Connect') || t.startsWith('Timed out'))
    }, before, { timeout: 15000 })
    return { said: (await lines()).slice(before) }
  },
  async addresses () {
    await page.waitForSelector('#multiaddrs > li', { timeout: 15000 })
    return { addresses: await page.locator('#multiaddrs > li').allTextContents() }
  },
  async send ({ text }) {
    await page.waitForSelector('#send', { state: 'visible', timeout: 15000 })
    await page.fill('#message', text)
    await page.click('#send')
    return {}
  },
  async expect ({ line, timeout }) {
    await page.waitForFunction(wanted => {
      return [...document.querySelectorAll('#output > div')].some(e => e.textContent === wanted)
    }, line, { timeout: timeout ?? 10000 })
    return { said: await lines() }
  },
  async output () {
    return { said: await lines(), connections: await page.locator('#connections > li').allTextContents() }
  },
  async screenshot ({ path }) {
    await page.screenshot({ path })
    return {}
  }
}, async () => {
  await browser.close()
  server.close()
  rmSync(profile, { recursive: true, force: true })
})
