// Copyright (c) the golive.cutover contributors
// SPDX-License-Identifier: BSD-2-Clause
'use strict';

const SHOWN = 100; // candles
const UP = '#1a9c5b', DOWN = '#d3414a', BANDS = '#2f6fd6', LEVELS = '#b7791f';

const state = { candles: [], bands: null, levels: null, length: 3600, stream: null, frame: 0 };
const canvas = byId('chart');

const selected = () => new URLSearchParams({
  symbol: byId('symbol').value, timeframe: byId('timeframe').value, limit: SHOWN + 20,
}).toString();

const pressed = (id) => byId(id).getAttribute('aria-pressed') === 'true';
const press = (id, on) => byId(id).setAttribute('aria-pressed', String(on));

// ---- drawing -----------------------------------------------------------------------------------------------------

function redraw() {
  // Many ticks may come in before the screen is drawn once.
  if (!state.frame) state.frame = requestAnimationFrame(() => { state.frame = 0; draw(); });
}

function draw() {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const shown = state.candles.slice(-SHOWN);
  canvas.dataset.candles = shown.length;
  if (!shown.length) return;

  const bands = pressed('bollinger') && state.bands ? state.bands.filter((b) => b.time >= shown[0].time) : [];
  const levels = pressed('fibonacci') && state.levels ? state.levels : [];
  canvas.dataset.overlays = [bands.length ? 'bollinger' : '', levels.length ? 'fibonacci' : ''].filter(Boolean).join(' ');

  const right = width - 70, bottom = height - 24, pricesEnd = bottom * 0.8;
  let high = -Infinity, low = Infinity, volume = 0;
  for (const c of shown) { high = Math.max(high, c.high); low = Math.min(low, c.low); volume = Math.max(volume, c.volume); }
  for (const b of bands) { high = Math.max(high, b.upper); low = Math.min(low, b.lower); }
  for (const l of levels) { high = Math.max(high, l.price); low = Math.min(low, l.price); }
  const room = (high - low) * 0.04 || high * 0.001;
  high += room; low -= room;
  const y = (price) => (high - price) / (high - low) * (pricesEnd - 8) + 4;
  const step = right / shown.length;
  const x = (index) => (index + 0.5) * step;
  const text = getComputedStyle(document.body).color;

  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  for (let n = 0; n <= 5; n += 1) {
    const price = low + (high - low) * n / 5;
    pen.strokeStyle = '#8883'; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(0, y(price)); pen.lineTo(right, y(price)); pen.stroke();
    pen.fillStyle = text; pen.textAlign = 'left';
    pen.fillText(price.toPrecision(6), right + 6, y(price));
  }
  pen.textAlign = 'center';
  for (let n = 10; n < shown.length; n += 20) {
    const at = new Date(shown[n].time * 1000);
    const label = state.length >= 86400 ? at.toLocaleDateString() : at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    pen.fillText(label, x(n), height - 11);
  }

  shown.forEach((c, index) => {
    pen.fillStyle = pen.strokeStyle = c.close >= c.open ? UP : DOWN;
    pen.beginPath(); pen.moveTo(x(index), y(c.high)); pen.lineTo(x(index), y(c.low)); pen.stroke();
    const top = y(Math.max(c.open, c.close));
    const body = Math.max(1, y(Math.min(c.open, c.close)) - top);
    pen.fillRect(x(index) - step * 0.35, top, step * 0.7, body);
    const bar = c.volume / volume * (bottom - pricesEnd - 6);
    pen.globalAlpha = 0.45;
    pen.fillRect(x(index) - step * 0.35, bottom - bar, step * 0.7, bar);
    pen.globalAlpha = 1;
  });

  const place = new Map(shown.map((c, index) => [c.time, x(index)]));
  pen.strokeStyle = BANDS; pen.lineWidth = 1.4;
  for (const line of ['upper', 'middle', 'lower']) {
    pen.beginPath();
    for (const b of bands) if (place.has(b.time)) pen.lineTo(place.get(b.time), y(b[line]));
    pen.stroke();
  }
  pen.lineWidth = 1; pen.textAlign = 'left'; pen.setLineDash([5, 4]);
  for (const l of levels) {
    pen.strokeStyle = pen.fillStyle = LEVELS;
    pen.beginPath(); pen.moveTo(0, y(l.price)); pen.lineTo(right, y(l.price)); pen.stroke();
    pen.fillText(`${l.label}  ${l.price.toPrecision(6)}`, 6, y(l.price) - 7);
  }
  pen.setLineDash([]);
  byId('price').textContent = shown[shown.length - 1].close;
}

// ---- data --------------------------------------------------------------------------------------------------------

async function load() {
  try {
    const [{ candles }, overlays] = await Promise.all([api(`/api/marketdata/candles?${selected()}`), loadOverlays()]);
    state.candles = candles;
    Object.assign(state, overlays);
    say('');
    redraw();
  } catch (error) {
    say(`The chart cannot be loaded: ${error.message}`);
  }
}

async function loadOverlays() {
  const [bollinger, fibonacci] = await Promise.all([
    pressed('bollinger') ? api(`/api/tools/bollinger?${selected()}`) : null,
    pressed('fibonacci') ? api(`/api/tools/fibonacci?${selected()}`) : null,
  ]);
  return { bands: bollinger && bollinger.series, levels: fibonacci && fibonacci.levels };
}

function tick(message) {
  const event = JSON.parse(message.data);
  const last = state.candles[state.candles.length - 1];
  if (!last) return;
  const at = Math.floor(event.time / 1000);
  if (at >= last.time + state.length) {
    const start = Math.floor(at / state.length) * state.length;
    const { price } = event;
    state.candles.push({ time: start, open: last.close, high: price, low: price, close: price, volume: 0 });
    if (state.candles.length > SHOWN + 20) state.candles.shift();
  } else {
    last.close = event.price;
    last.high = Math.max(last.high, event.price);
    last.low = Math.min(last.low, event.price);
  }
  canvas.dataset.ticks = Number(canvas.dataset.ticks || 0) + 1;
  redraw();
}

function live(on) {
  if (state.stream) state.stream.close();
  state.stream = null;
  press('live', on);
  const badge = byId('badge');
  badge.hidden = !on;
  if (!on) return;
  const waiting = () => { badge.textContent = 'Connecting …'; badge.classList.add('waiting'); };
  waiting();
  state.stream = new EventSource(`/api/marketdata/stream?symbol=${encodeURIComponent(byId('symbol').value)}`);
  state.stream.addEventListener('tick', (message) => {
    badge.textContent = '⚡ Streaming';
    badge.classList.remove('waiting');
    tick(message);
  });
  state.stream.addEventListener('gap', load); // events were lost: the candles have them
  state.stream.addEventListener('error', waiting); // the browser comes back by itself, with Last-Event-ID
}

// ---- controls ----------------------------------------------------------------------------------------------------

async function start() {
  try {
    const { symbols, timeframes } = await api('/api/marketdata/symbols');
    fill(byId('symbol'), symbols, 'BTCUSDT');
    fill(byId('timeframe'), timeframes, '1h');
  } catch (error) {
    say(`The symbols cannot be loaded: ${error.message}`);
  }
  await load();
}

byId('symbol').addEventListener('change', () => { load(); if (state.stream) live(true); });
byId('timeframe').addEventListener('change', () => {
  const units = { m: 60, h: 3600, d: 86400 };
  const chosen = byId('timeframe').value;
  state.length = parseInt(chosen, 10) * units[chosen.slice(-1)];
  load();
});
byId('live').addEventListener('click', () => live(!pressed('live')));
for (const id of ['bollinger', 'fibonacci']) {
  byId(id).addEventListener('click', () => { press(id, !pressed(id)); load(); });
}
window.addEventListener('resize', redraw);
start();
