// Copyright (c) the golive.cutover contributors
// SPDX-License-Identifier: BSD-2-Clause
'use strict';

const byId = (id) => document.getElementById(id);

function say(text) {
  byId('message').textContent = text;
  byId('message').classList.toggle('error', text !== '');
}

// Ask the API. Resolves to the document, rejects with an Error that a person can read.
async function api(path, options = {}) {
  if (options.body !== undefined) {
    options = { ...options, body: JSON.stringify(options.body), headers: { 'Content-Type': 'application/json' } };
  }
  const answer = await fetch(path, options);
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.error || `HTTP status ${answer.status}`);
  return data;
}

function fill(select, values, chosen) {
  select.replaceChildren(...values.map((value) => new Option(value, value, value === chosen, value === chosen)));
}

api('/api/public/health')
  .then((health) => { byId('release').textContent = `release ${health.release}`; })
  .catch(() => { byId('release').textContent = 'not healthy'; });
