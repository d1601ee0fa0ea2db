// The page for looking at cases. It is opened from file://, where nothing can be fetched, so all data are scripts:
// study.js calls showStudy, and cases/<case>.js, which is loaded when the case is opened, calls showCase.
'use strict';

const WINDOWS = { 'soft tissue': [-160, 240], bone: [-450, 1050], lung: [-1350, 150], brain: [0, 80] }; // HU
const VIEWS = { 'three planes': 'MULTIPLANAR', axial: 'AXIAL', coronal: 'CORONAL', sagittal: 'SAGITTAL' };
const DESCENDING = 'disagreement'; // all other columns are sorted with the lowest at the top
const CONTOUR = [255, 255, 255];

const choice = { layer: 1, contour: true, opacity: 0.5, zoom: 1, window: 'soft tissue', organ: null, key: 'worst', hidden: new Set() };
let study = null; // what study.js holds
let shown = null; // the case on the screen: its data, its name, and its images by layer
let nv = null;
const waiting = new Map(); // for each case that is being loaded, what to do with its data

const $ = (id) => document.getElementById(id);
const words = (name) => name.replaceAll('_', ' ');
const fixed = (value, decimals) => (value === null || value === undefined ? '–' : value.toFixed(decimals));

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function say(text) {
  $('message').textContent = text;
}

// ---- the list of cases

function ranked() {
  const rank = (entry) => entry.ranks[choice.organ][['worst', 'mean', 'disagreement'].indexOf(choice.key)];
  const byName = (a, b) => a.case.localeCompare(b.case, 'en', { numeric: true });
  return [...study.cases].sort((a, b) => {
    if (choice.key === 'case') return byName(a, b);
    const [x, y] = [rank(a), rank(b)];
    if (x === null || y === null) return (x === null) - (y === null) || byName(a, b);
    return (choice.key === DESCENDING ? y - x : x - y) || byName(a, b);
  });
}

function listCases() {
  const rows = ranked().map((entry) => {
    const link = element('a', { href: '#' + encodeURIComponent(entry.case), textContent: entry.case, title: entry.case });
    const row = element('tr', {}, element('td', {}, link));
    const [worst, mean, disagreement] = entry.ranks[choice.organ];
    const values = study.models.length > 1 ? [worst, mean, disagreement] : [worst, mean];
    row.append(...values.map((value) => element('td', { textContent: fixed(value, 2) })));
    row.dataset.case = entry.case;
    row.onclick = () => link.click();
    link.onclick = (event) => event.stopPropagation();
    return row;
  });
  $('cases').replaceChildren(...rows);
  for (const button of document.querySelectorAll('thead button[data-key]')) {
    button.toggleAttribute('aria-sort', false);
    if (button.dataset.key === choice.key) {
      button.setAttribute('aria-sort', choice.key === DESCENDING ? 'descending' : 'ascending');
    }
  }
  markCase();
}

function markCase() {
  for (const row of $('cases').rows) {
    const open = row.dataset.case === wantedCase();
    row.classList.toggle('open', open);
    if (open) row.scrollIntoView({ block: 'nearest' });
  }
}

// The case that the address names, which makes Back, bookmarks and links to a case work; the first in the list if none.
function wantedCase() {
  const named = decodeURIComponent(location.hash.slice(1));
  return study.cases.some((entry) => entry.case === named) ? named : ranked()[0]?.case;
}

function step(by) {
  const order = ranked().map((entry) => entry.case);
  const place = order.indexOf(wantedCase()) + by;
  if (place >= 0 && place < order.length) location.hash = encodeURIComponent(order[place]);
}

// ---- one case

function load(name) {
  return new Promise((resolve, reject) => {
    const script = element('script', { src: `cases/${encodeURIComponent(name)}.js` });
    const fail = () => reject(new Error(`viewer/cases/${name}.js is missing or damaged; keep the viewer's folder whole`));
    waiting.set(name, resolve);
    script.onload = () => {
      script.remove();
      if (waiting.delete(name)) fail();
    };
    script.onerror = () => {
      script.remove();
      waiting.delete(name);
      fail();
    };
    document.head.append(script);
  });
}

function showCase(data) {
  waiting.get(data.case)?.(data);
  waiting.delete(data.case);
}

const volume = (name, base64, options = {}) => niivue.NVImage.loadFromBase64({ base64, name: `${name}.nii.gz`, ...options });

async function openCase() {
  const name = wantedCase();
  markCase();
  if (!name || name === shown?.name) return;
  say(`Loading ${name}…`);
  document.body.dataset.shown = '';
  try {
    const data = await load(name);
    const [low, high] = WINDOWS[choice.window];
    const images = await Promise.all([
      volume('ct', data.ct, { colormap: 'gray', cal_min: low, cal_max: high }),
      volume('reference', data.reference),
      ...study.models.map((model) => volume(model, data.predictions[model])),
    ]);
    if (name !== wantedCase()) return; // another case was asked for meanwhile
    clear();
    shown = { name, data, images };
    setWindow();
    nv.addVolume(images[0]);
    tabulate();
    tellGrid();
    lookAt(worstOrgan());
    draw();
    say('');
  } catch (error) {
    if (name !== wantedCase()) return;
    clear();
    shown = null;
    say(error.message);
  }
}

function clear() {
  nv.closeDrawing();
  for (const image of [...nv.volumes].reverse()) nv.removeVolume(image);
}

// Put the chosen layer over the CT, and the reference's contour over that.
function draw() {
  for (const [index, button] of [...$('layers').children].entries()) {
    button.setAttribute('aria-checked', index === choice.layer);
  }
  for (const cell of document.querySelectorAll('#metrics [data-layer]')) {
    cell.classList.toggle('shown', Number(cell.dataset.layer) === choice.layer);
  }
  if (!shown) return;
  const layer = choice.layer > 0 ? shown.images[choice.layer] : null;
  for (const image of nv.volumes.slice(1)) nv.removeVolume(image);
  nv.closeDrawing();
  if (layer) {
    layer.setColormapLabel(colours((organ) => study.organs[organ]));
    layer.opacity = choice.opacity;
    nv.addVolume(layer);
  }
  if (choice.contour && choice.layer > 1) {
    nv.setDrawColormap(colours(() => CONTOUR));
    nv.loadDrawing(shown.images[1]);
  }
  nv.drawScene();
  document.body.dataset.shown = `${shown.name}/${layerNames()[choice.layer]}`;
}

// NiiVue's table of colours for label maps; organs that are unticked are transparent.
function colours(colour) {
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ['background'] };
  for (const [index, organ] of Object.keys(study.organs).entries()) {
    const value = colour(organ);
    const rgb = Array.isArray(value) ? value : [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    for (const [channel, key] of ['R', 'G', 'B'].entries()) table[key].push(rgb[channel]);
    table.A.push(choice.hidden.has(organ) ? 0 : 255);
    table.I.push(index + 1);
    table.labels.push(organ);
  }
  return table;
}

const layerNames = () => ['CT', 'reference', ...study.models];

function setLayer(layer) {
  choice.layer = layer;
  draw();
}

function setWindow() {
  if (!shown) return;
  [shown.images[0].cal_min, shown.images[0].cal_max] = WINDOWS[choice.window];
  if (nv.volumes.length) nv.updateGLVolume();
}

function setContour(on) {
  choice.contour = $('contour').checked = on;
  draw();
}

// ---- the numbers of a case

const entryOf = (name) => study.cases.find((entry) => entry.case === name);

function worstOrgan() {
  const entry = entryOf(shown.name);
  if (choice.organ !== study.all) return choice.organ;
  const worst = (organ) => entry.ranks[organ]?.[0] ?? Infinity;
  return Object.keys(study.organs).reduce((a, b) => (worst(b) < worst(a) ? b : a));
}

function lookAt(organ) {
  const place = shown?.data.look[organ];
  if (!place) return;
  nv.scene.crosshairPos = nv.mm2frac(place, 0, true); // true: also where the axes are oblique
  nv.createOnLocationChange();
  zoom();
}

// Enlarge what is around the crosshair, which then is in the middle, and keep the crosshair's lines thin.
function zoom() {
  const [crosshair, middle] = [nv.scene.crosshairPos, [0.5, 0.5, 0.5]].map((place) => nv.frac2mm(place));
  const pan = [0, 1, 2].map((axis) => (choice.zoom === 1 ? 0 : middle[axis] - choice.zoom * crosshair[axis]));
  nv.setPan2Dxyzmm([...pan, choice.zoom]);
  const [, , extent] = nv.sceneExtentsMinMax(); // mm
  nv.setCrosshairWidth(Math.max(...extent) / 250 / choice.zoom);
}

// A name that may be broken behind its underscores.
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part) => [part, element('wbr')]);
}

function tabulate() {
  const entry = entryOf(shown.name);
  const several = study.models.length;
  const head = element('tr', {}, element('th', { textContent: 'organ' }), element('th', { textContent: 'reference, ml', className: 'first' }));
  const second = element('tr', {}, element('th'), element('th', { className: 'first' }));
  for (const { name, unit } of study.metrics) {
    head.append(element('th', { textContent: unit ? `${name}, ${unit}` : name, colSpan: several, className: 'first', style: 'text-align: center' }));
    for (const [index, model] of study.models.entries()) {
      const cell = element('th', { className: index ? '' : 'first' }, ...breakable(model));
      cell.dataset.layer = index + 2;
      second.append(cell);
    }
  }
  const body = element('tbody');
  for (const [organ, colour] of Object.entries(study.organs)) {
    const tick = element('input', { type: 'checkbox', className: 'swatch', checked: !choice.hidden.has(organ), title: `Show or hide ${words(organ)}` });
    tick.style.accentColor = colour;
    tick.onchange = () => {
      choice.hidden[tick.checked ? 'delete' : 'add'](organ);
      draw();
    };
    const jump = element('button', { textContent: words(organ), title: 'Go to where the networks are wrong the most', onclick: () => lookAt(organ) });
    const { reference_ml: reference, models } = entry.organs[organ];
    const row = element('tr', {}, element('td', {}, element('span', { className: 'organ' }, tick, jump)), element('td', { textContent: fixed(reference, 1), className: 'first' }));
    for (const [column, { decimals }] of study.metrics.entries()) {
      for (const [index, model] of study.models.entries()) {
        const cell = element('td', { textContent: fixed(models[model]?.[column], decimals), className: index ? '' : 'first' });
        cell.dataset.layer = index + 2;
        row.append(cell);
      }
    }
    body.append(row);
  }
  $('metrics').replaceChildren(element('table', {}, element('thead', {}, head, second), body));
}

// What is under the crosshair: position, HU, and the organ by reference and by each network, those that agree together.
function tellPlace({ mm }) {
  if (!shown) return;
  const organs = ['background', ...Object.keys(study.organs)];
  const at = (image) => image.getValue(...image.mm2vox([mm[0], mm[1], mm[2]]));
  const sayers = new Map();
  for (const [index, image] of shown.images.slice(1).entries()) {
    const organ = words(organs[at(image)]);
    sayers.set(organ, [...(sayers.get(organ) ?? []), layerNames()[index + 1]]);
  }
  const labels = [...sayers].map(([organ, names]) => `${names.join(', ')}: ${organ}`);
  const position = [...mm].slice(0, 3).map((value) => value.toFixed(0)).join(', ');
  $('place').textContent = [`${position} mm (RAS)`, `${at(shown.images[0])} HU`, ...labels].join('  ·  ');
  $('place').title = $('place').textContent; // whole where it is cut off
}

function tellGrid() {
  const { spacing, original_spacing: original } = shown.data;
  const size = (values) => `${values.map((value) => value.toFixed(1)).join(' × ')} mm`;
  const same = size(spacing) === size(original);
  $('grid').textContent = `voxels ${size(spacing)}${same ? '' : `, of the scan ${size(original)}`}`;
  $('grid').title = "Metrics are always of the scan's own voxels";
}

// ---- the page

function describe() {
  const count = (n, thing) => `${n} ${thing}${n === 1 ? '' : 's'}`;
  const parts = [count(study.cases.length, 'test case'), count(study.models.length, 'network')];
  if (study.folds > 1) parts.push('each case predicted in the fold that tests it');
  if (study.seeds.length > 1) parts.push(`seed ${study.seeds[0]} of ${study.seeds.length}`);
  document.querySelector('h1').textContent = study.study;
  document.title = `${study.study} - OrganBench viewer`;
  $('about').textContent = parts.join(', ');
  $('generated').hidden = !study.generated;
}

function fill(select, values, current, change) {
  select.append(...Object.entries(values).map(([value, text]) => element('option', { value, textContent: text, selected: value === current })));
  select.onchange = () => {
    change(select.value);
    select.blur(); // the keys go to the page again
  };
}

function control() {
  const same = (names) => Object.fromEntries(names.map((name) => [name, name]));
  const organs = Object.keys(study.organs);
  choice.organ = organs.length > 1 ? study.all : organs[0];
  const organOptions = Object.fromEntries(organs.map((organ) => [organ, words(organ)]));
  fill($('organ'), { [study.all]: 'all organs', ...organOptions }, choice.organ, (organ) => {
    choice.organ = organ;
    listCases();
    lookAt(worstOrgan());
  });
  fill($('window'), same(Object.keys(WINDOWS)), choice.window, (name) => {
    choice.window = name;
    setWindow();
  });
  fill($('view'), same(Object.keys(VIEWS)), 'three planes', (name) => nv.setSliceType(niivue.SLICE_TYPE[VIEWS[name]]));
  for (const button of document.querySelectorAll('thead button[data-key]')) {
    if (button.dataset.key === 'disagreement' && study.models.length < 2) button.parentElement.remove();
    button.onclick = () => {
      choice.key = button.dataset.key;
      listCases();
    };
  }
  for (const [index, name] of layerNames().entries()) {
    const button = element('button', { textContent: name, title: `Key ${index}`, onclick: () => setLayer(index) });
    button.setAttribute('role', 'radio');
    $('layers').append(button);
  }
  $('contour').onchange = () => setContour($('contour').checked);
  $('opacity').oninput = () => {
    choice.opacity = Number($('opacity').value);
    if (nv.volumes.length > 1) nv.setOpacity(1, choice.opacity);
  };
  $('zoom').oninput = () => {
    choice.zoom = Number($('zoom').value);
    if (shown) zoom();
  };
  window.addEventListener('hashchange', openCase);
  // before NiiVue's own keys
  window.addEventListener('keydown', press, { capture: true });
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === 'SELECT') return;
  const layers = layerNames().length;
  if (event.key === 'n') step(1);
  else if (event.key === 'p') step(-1);
  else if (event.key === 't') setContour(!choice.contour);
  else if (event.key === 'l') setLayer((choice.layer + 1) % layers);
  else if (/^\d$/.test(event.key) && Number(event.key) < layers) setLayer(Number(event.key));
  else return;
  event.preventDefault();
  event.stopPropagation();
}

async function showStudy(data) {
  study = data;
  describe();
  control();
  listCases();
  if (!document.createElement('canvas').getContext('webgl2')) {
    say('This browser has no WebGL 2, which the pictures need; the tables work without.');
    return;
  }
  nv = new niivue.Niivue({
    logLevel: 'error',
    loadingText: '',
    dragAndDropEnabled: false,
    isRadiologicalConvention: true, // the patient's right is on the left
    multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
    multiplanarPadPixels: 6,
    crosshairColor: [0.29, 0.64, 0.88, 1],
    crosshairWidthUnit: 'mm',
    crosshairGap: 12, // half widths around the place that is looked at
    // keys of NiiVue's that would cut into the picture
    clipPlaneHotKey: '',
    cycleClipPlaneHotKey: '',
    viewModeHotKey: '',
  });
  await nv.attachToCanvas($('canvas'));
  nv.onLocationChange = tellPlace;
  nv.setDrawOpacity(0.001); // a drawing's fill is not seen, but its rim is drawn only where there is one
  nv.drawRimOpacity = 1;
  const address = '#' + encodeURIComponent(wantedCase());
  if (location.hash === address) openCase();
  else location.replace(address); // which opens the case
}
