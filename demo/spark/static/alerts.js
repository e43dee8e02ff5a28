// Copyright (c) the golive.cutover contributors
// SPDX-License-Identifier: BSD-2-Clause
'use strict';

const CONDITIONS = { price_above: 'price above', price_below: 'price below' };

function cell(text, name) {
  const td = document.createElement('td');
  td.textContent = text;
  if (name) td.className = name;
  return td;
}

function button(text, action) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  made.dataset.action = text.toLowerCase();
  made.addEventListener('click', async () => {
    made.disabled = true;
    try {
      await action();
      say('');
    } catch (error) {
      say(error.message);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

function row(alert) {
  const tr = document.createElement('tr');
  tr.dataset.id = alert.id;
  const actions = cell('', 'actions');
  actions.append(
    button(alert.enabled ? 'Disable' : 'Enable', async () => {
      await api(`/api/alerts/${alert.id}/toggle`, { method: 'POST', body: { enabled: !alert.enabled } });
      await load();
    }), ' ',
    button('History', () => showHistory(alert)), ' ',
    button('Delete', async () => {
      await api(`/api/alerts/${alert.id}`, { method: 'DELETE' });
      await load();
    }),
  );
  tr.append(
    cell(alert.symbol), cell(CONDITIONS[alert.condition] || alert.condition), cell(alert.threshold, 'number'),
    cell(alert.note), cell(alert.enabled ? 'Enabled' : 'Disabled', 'state'), actions,
  );
  return tr;
}

async function load() {
  try {
    const { alerts } = await api('/api/alerts');
    byId('alerts').tBodies[0].replaceChildren(...alerts.map(row));
    byId('alerts').dataset.loaded = 'true';
    byId('empty').hidden = alerts.length > 0;
    byId('count').textContent = `${alerts.length} alert${alerts.length === 1 ? '' : 's'}`;
  } catch (error) {
    say(`The alerts cannot be loaded: ${error.message}`);
  }
}

async function showHistory(alert) {
  const { history } = await api(`/api/alerts/${alert.id}/history`);
  const lines = history.map((event) => {
    const li = document.createElement('li');
    li.textContent = `${new Date(event.at * 1000).toLocaleString()}: ${event.symbol} at ${event.price}`;
    return li;
  });
  if (!lines.length) {
    const li = document.createElement('li');
    li.textContent = 'This alert has not triggered yet.';
    lines.push(li);
  }
  byId('events').replaceChildren(...lines);
  byId('history').showModal();
}

byId('create').addEventListener('click', () => {
  byId('form').reset();
  byId('form-error').textContent = '';
  byId('editor').showModal();
});
byId('cancel').addEventListener('click', () => byId('editor').close());
byId('close-history').addEventListener('click', () => byId('history').close());
byId('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { symbol, condition, threshold, note } = Object.fromEntries(new FormData(byId('form')));
  try {
    await api('/api/alerts', { method: 'POST', body: { symbol, condition, threshold: Number(threshold), note } });
    byId('editor').close();
    await load();
  } catch (error) {
    byId('form-error').textContent = error.message;
  }
});
api('/api/marketdata/symbols')
  .then(({ symbols }) => fill(byId('form').elements.symbol, symbols, 'BTCUSDT'))
  .catch((error) => say(`The symbols cannot be loaded: ${error.message}`));
load();
