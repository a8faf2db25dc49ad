// The explorer of a page. Its content is made by report/explorer/spaces.py; Plotly draws the points.
(() => {
  const MOVE = 400; // ms that points take to their next places
  const PAUSE = 900; // ms from one space to the next while playing
  const MOST_NAMED = 24; // values that a legend can name
  const RIGHT = { name: "right", words: ["answers wrong", "answers right"], colours: ["#D55E00", "#0072B2"] };
  const CAMERA = { eye: { x: 0.95, y: 0.95, z: 0.65 } };
  const UNKNOWN = "#999999";

  const content = JSON.parse(document.getElementById("explorer-content").textContent);
  const [split, layer, colour, slider, place, play, plot, legend] =
    ["split", "layer", "colour", "slider", "place", "play", "plot", "legend"].map(
      (name) => document.getElementById(`explorer-${name}`),
    );
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // The slider is over epochs; over layers where there is only one epoch, as when a pretrained model is probed.
  const here = () => content.splits[split.value];
  const overEpochs = () => here().epochs.length > 1;
  const layerIndex = () => (overEpochs() ? layer.selectedIndex : Number(slider.value));
  const epochIndex = () => (overEpochs() ? Number(slider.value) : 0);

  /** The coordinates of a split, decoded once: [layer, epoch, axis, instance]. */
  function coordinatesOf(space) {
    space.decoded ??= new Int16Array(Uint8Array.from(atob(space.coordinates), (letter) => letter.charCodeAt(0)).buffer);
    return space.decoded;
  }

  /** The coordinates to show now: [axis, instance]. */
  function wanted() {
    const space = here();
    const size = 3 * space.columns.task.length;
    const start = (layerIndex() * space.epochs.length + epochIndex()) * size;
    return Float32Array.from(coordinatesOf(space).subarray(start, start + size));
  }

  const axes = (points) => {
    const count = points.length / 3;
    return { x: points.subarray(0, count), y: points.subarray(count, 2 * count), z: points.subarray(2 * count) };
  };

  // Words. Values without words of their own are shown as numbers.
  const wordOf = (column, value) => content.words[column]?.[value] ?? String(value);
  const escaped = (text) => text.replace(/[&<>]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[letter]);
  const wrapped = (text) => escaped(text.replace(/(.{40,60}) /g, "$1\n")).replaceAll("\n", "<br>");
  const answers = () => here().right[here().epochs[epochIndex()]];

  /** What is read of each instance. */
  function descriptions() {
    const { columns } = here();
    const right = answers();
    const others = content.colours.filter(([name]) => !["input", "output", "mapping"].includes(name) && columns[name]);
    return columns.task.map((_, i) => {
      const lines = others.map(([name, words]) => `${words}: ${wrapped(wordOf(name, columns[name][i]))}`);
      // Without words a symbol's number says nothing; task identities have none.
      const [input, output] = ["input", "output"].map((name) => content.words[name]?.[columns[name]?.[i]]);
      if (input && output) lines.unshift(`input ${escaped(input)}, output ${escaped(output)}`);
      if (columns.instruction) lines.unshift(`<b>${wrapped(wordOf("instruction", columns.instruction[i]))}</b>`);
      if (right) lines.push(`the model ${RIGHT.words[right[i]]}`);
      return lines.join("<br>");
    });
  }

  /** The colour of each instance, and the named colours of the legend. */
  function colours() {
    if (colour.value === RIGHT.name) {
      const right = answers();
      const of = here().columns.task.map((_, i) => (right ? RIGHT.colours[right[i]] : UNKNOWN));
      return { of, named: RIGHT.words.map((word, value) => [word, RIGHT.colours[value]]) };
    }
    const column = here().columns[colour.value];
    const values = [...new Set(column)].sort((a, b) => a - b);
    // Beyond the palette, hues by the golden angle: neighbours in number are far apart in hue.
    const look = (rank) =>
      values.length <= content.palette.length
        ? content.palette[rank]
        : `hsl(${Math.round(rank * 137.508) % 360}, 70%, ${[42, 62, 32][rank % 3]}%)`;
    const by = new Map(values.map((value, rank) => [value, look(rank)]));
    return { of: column.map((value) => by.get(value)), named: [...by].map(([v, look]) => [wordOf(colour.value, v), look]) };
  }

  function drawLegend(named) {
    const title = colour.selectedOptions[0].textContent;
    legend.replaceChildren(`${title}: `);
    if (named.length > MOST_NAMED) {
      legend.append(`${named.length} values, too many to name; point at an instance to read its own.`);
      return;
    }
    for (const [word, look] of named) {
      const swatch = document.createElement("i");
      swatch.style.background = look;
      const entry = document.createElement("span");
      entry.append(swatch, word);
      legend.append(entry, " ");
    }
  }

  function fill(select, options, chosen) {
    select.replaceChildren(...options.map(([value, words]) => new Option(words, value)));
    if (options.some(([value]) => value === chosen)) select.value = chosen;
  }

  /** Says where the slider stands; gives the colours and descriptions that belong there. */
  function dress() {
    place.textContent = overEpochs() ? `epoch ${here().epochs[epochIndex()]}` : here().layers[layerIndex()][1];
    const { of, named } = colours();
    drawLegend(named);
    return { text: [descriptions()], "marker.color": [of] };
  }

  let shown; // the coordinates on the screen
  let latest = 0; // the number of the newest movement: it stops all older ones

  /** Moves the points to where the controls want them. */
  function move() {
    const dressed = dress();
    const [from, to, start, own] = [shown, wanted(), performance.now(), ++latest];
    const step = (now) => {
      if (own !== latest) return;
      const part = calm ? 1 : Math.min(Math.max(now - start, 0) / MOVE, 1);
      const eased = part * part * (3 - 2 * part);
      shown = to.map((value, i) => from[i] + eased * (value - from[i]));
      const { x, y, z } = axes(shown);
      Plotly.restyle(plot, { x: [x], y: [y], z: [z], ...dressed }, [0]);
      if (part < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** Draws another split: other instances, so nothing moves. */
  function draw() {
    const space = here();
    fill(layer, space.layers, layer.value || content.layer);
    layer.parentElement.hidden = !overEpochs();
    const right = Object.keys(space.right).length ? [[RIGHT.name, "right or wrong"]] : [];
    fill(colour, [...content.colours.filter(([name]) => space.columns[name]), ...right], colour.value);
    slider.max = (overEpochs() ? space.epochs : space.layers).length - 1;
    slider.value = overEpochs() ? slider.max : space.layers.findIndex(([name]) => name === layer.value);
    latest += 1;
    shown = wanted();
    const size = Math.min(Math.max(160 / Math.sqrt(space.columns.task.length), 2), 6); // many points are small
    const marker = { size, opacity: 0.85, line: { width: 0 } };
    const points = { type: "scatter3d", mode: "markers", marker, hovertemplate: "%{text}<extra></extra>", ...axes(shown) };
    const axis = { range: [-content.edge, content.edge], showticklabels: false, showspikes: false, zeroline: false, title: { text: "" } };
    const [xaxis, yaxis, zaxis] = [1, 2, 3].map(() => ({ ...axis, gridcolor: "#e4e4e4" }));
    const scene = { xaxis, yaxis, zaxis, aspectmode: "cube", camera: plot.layout?.scene.camera ?? CAMERA };
    const layout = { scene, margin: { l: 0, r: 0, t: 0, b: 0 }, hoverlabel: { align: "left" }, showlegend: false };
    // Named one by one, as Plotly's own choice includes a button that sends the chart to its makers.
    const options = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetCameraDefault3d"]] };
    Plotly.react(plot, [points], layout, options);
    Plotly.restyle(plot, dress(), [0]);
  }

  let playing = 0;
  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }
  play.addEventListener("click", () => {
    if (playing) return stop();
    play.textContent = "Pause";
    if (slider.value === slider.max) {
      slider.value = 0;
      move();
    }
    const forward = () => {
      slider.stepUp();
      move();
      if (slider.value === slider.max) stop();
    };
    playing = setInterval(forward, PAUSE);
  });

  slider.addEventListener("input", () => {
    stop();
    move();
  });
  layer.addEventListener("change", move);
  colour.addEventListener("change", () => Plotly.restyle(plot, dress(), [0]));
  split.addEventListener("change", () => {
    stop();
    draw();
  });
  fill(split, content.splits.map(({ name }, index) => [String(index), name]));
  draw();
})();
