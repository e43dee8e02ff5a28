// Copyright (c) the golive.cutover contributors
// SPDX-License-Identifier: BSD-2-Clause
'use strict';

// The quotes of one symbol: over a WebSocket where it was built with one and the server offers it, else by asking again and again.
const PING_MS = 1000, POLL_MS = 2000, SILENCE_MS = 5000, SLOW_MS = 1000, LONGEST_WAIT_MS = 10000;
const LABELS = {
  CONNECTING: 'WS…', OPEN: 'WS', DEGRADED: 'WS!', CLOSED: 'WS✗', RECONNECTING: 'WS↻', POLLING: 'Canlı',
};

const feed = { socket: null, timers: [], reconnects: 0, wait: 500, asked: new Map(), next: 1, heard: 0, ages: [] };
const pill = byId('pill');

function show(state) {
  pill.dataset.state = state;
  pill.textContent = LABELS[state];
  pill.dataset.reconnects = feed.reconnects;
}

function tell(latency) {
  pill.dataset.latency = latency.toFixed(1);
  const oldest = [...feed.ages].sort((a, b) => a - b)[Math.ceil(feed.ages.length * 0.95) - 1] || 0;
  pill.dataset.eventP95 = oldest;
  pill.title = `latency ${latency.toFixed(1)} ms, events ${oldest} ms old (p95), ${feed.reconnects} reconnects`;
  byId('detail').textContent = `${latency.toFixed(1)} ms`;
}

function quote({ bid, ask }) {
  byId('bid').textContent = bid;
  byId('ask').textContent = ask;
  byId('difference').textContent = `${((ask - bid) / ask * 100).toFixed(4)} %`;
  byId('spread').dataset.updates = Number(byId('spread').dataset.updates) + 1;
}

function end() {
  feed.timers.forEach(clearInterval);
  feed.timers = [];
  if (feed.socket) { feed.socket.onclose = null; feed.socket.close(); }
  feed.socket = null;
}

function ping() {
  // What was asked and is not answered shows as the latency that it has by now.
  const oldest = [...feed.asked.values()][0];
  if (oldest !== undefined && performance.now() - oldest > SLOW_MS) tell(performance.now() - oldest);
  const late = oldest !== undefined && performance.now() - oldest > SLOW_MS;
  if (late || Date.now() - feed.heard > SILENCE_MS) show('DEGRADED');
  feed.asked.set(feed.next, performance.now());
  feed.socket.send(JSON.stringify({ type: 'ping', id: feed.next }));
  feed.next += 1;
}

function hear(text) {
  const message = JSON.parse(text);
  feed.heard = Date.now();
  if (message.type === 'hello') {
    feed.wait = 500;
    show('OPEN'); // open is what has said something: a proxy may accept and let nothing through
    ping();
    feed.timers.push(setInterval(ping, PING_MS));
  } else if (message.type === 'tick') {
    feed.ages.push(Math.max(0, Date.now() - message.sent_at));
    if (feed.ages.length > 100) feed.ages.shift();
    quote(message);
  } else if (message.type === 'pong' && feed.asked.has(message.id)) {
    const latency = performance.now() - feed.asked.get(message.id);
    feed.asked.clear();
    tell(latency);
    show(latency > SLOW_MS ? 'DEGRADED' : 'OPEN');
  }
}

function connect() {
  end();
  feed.asked.clear();
  const where = new URL(`/ws?symbol=${encodeURIComponent(byId('symbol').value)}`, location.href);
  where.protocol = where.protocol.replace('http', 'ws');
  if (feed.reconnects) where.searchParams.set('attempt', feed.reconnects); // the server counts who has lost one
  feed.socket = new WebSocket(where);
  feed.socket.onmessage = (event) => hear(event.data);
  feed.socket.onclose = () => {
    end();
    show('CLOSED');
    feed.timers.push(setTimeout(() => { feed.reconnects += 1; show('RECONNECTING'); connect(); }, feed.wait));
    feed.wait = Math.min(feed.wait * 2, LONGEST_WAIT_MS);
  };
}

async function poll() {
  try {
    quote(await api(`/api/public/btcturk/ticker?symbol=${encodeURIComponent(byId('symbol').value)}`));
    say('');
    show('POLLING');
  } catch (error) {
    say(`The quotes cannot be loaded: ${error.message}`);
  }
}

async function start() {
  let enabled = BUILD.websocket;
  pill.dataset.built = enabled;
  try {
    enabled = (await api('/api/public/health')).websocket_enabled && enabled;
  } catch (error) {
    say(`The health of the platform is not known: ${error.message}`);
  }
  const begin = enabled ? connect : () => { end(); poll(); feed.timers.push(setInterval(poll, POLL_MS)); };
  byId('symbol').addEventListener('change', begin);
  if (enabled) show('CONNECTING');
  begin();
}

start();
