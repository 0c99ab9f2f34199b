(() => {
  document.documentElement.classList.add('script');
  const body = document.querySelector('#files tbody');
  const rows = [...body.rows];
  const tiles = [...document.querySelectorAll('.tile')];
  const find = document.querySelector('#find');
  const select = document.querySelector('#sort');
  const heads = [...document.querySelectorAll('thead button')];
  const filter = () => {
    const on = new Set(tiles.filter(t => t.getAttribute('aria-pressed') === 'true')
      .map(t => t.dataset.show));
    const words = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !(on.has(row.dataset.kind) && row.dataset.name.includes(words));
      count += !row.hidden;
    }
    document.querySelector('#shown').textContent =
      count === rows.length ? '' : `${count} of ${rows.length} shown`;
    document.querySelector('#none').hidden = count > 0 || !rows.length;
  };
  const sort = (key, up) => {
    const value = row => key === 'name' ? row.dataset.name : +row.dataset[key || 'order'];
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      const order = x < y ? -1 : x > y ? 1 : 0;
      return (up ? order : -order) || a.dataset.order - b.dataset.order;
    });
    body.append(...rows);
    for (const head of heads) {
      const cell = head.parentElement;
      if (head.dataset.key === key) {
        cell.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      } else {
        cell.removeAttribute('aria-sort');
      }
    }
    select.value = key;
  };
  for (const tile of tiles) {
    tile.addEventListener('click', () => {
      const all = tiles.every(t => t.getAttribute('aria-pressed') === 'true');
      const alone = tiles.every(t => (t.getAttribute('aria-pressed') === 'true') === (t === tile));
      for (const t of tiles) {
        if (all || alone) { t.setAttribute('aria-pressed', alone || t === tile); }
      }
      if (!all && !alone) {
        tile.setAttribute('aria-pressed', tile.getAttribute('aria-pressed') !== 'true');
      }
      filter();
    });
  }
  for (const head of heads) {
    head.addEventListener('click', () => {
      const now = head.parentElement.getAttribute('aria-sort');
      const first = head.dataset.first === 'up';
      sort(head.dataset.key, now ? now !== 'ascending' : first);
    });
  }
  select.addEventListener('change', () => {
    const head = heads.find(h => h.dataset.key === select.value);
    sort(select.value, !head || head.dataset.first === 'up');
  });
  find.addEventListener('input', filter);
})();
