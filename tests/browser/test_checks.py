"""The page checks itself in the reader's browser: whatever is changed of it turns a tick red."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from lottery.tlog import merkle
from tests import reference
from tests.browser.pages import Opener
from tests.builders import asks_making

ZERO_HITS: tuple[reference.ZeroHit, ...] = ("wrap", "first")
POOLS = ".quantities, .working, table.accounts td, table.pools td"
SEED = "#seed-digits, #seed-cut, #seed-fraction"
NO_ENTRY = "the entry is not on this page, because it says more than the page may"

FLIP = """async () => {
    const fails = async (check) => {
      try { await check(); } catch (error) { return !(error instanceof Unable); }
      return false;
    };
    const anyFails = async (checks) => {
      for (const check of checks) if (await fails(check)) return true;
      return false;
    };
    const log = [checkEntry, checkPath, checkSignature];
    const unseen = [];
    let flipped = 0;
    for (const id of ["entry", "proof", "leaf", "key"]) {
      const element = document.getElementById(id);
      const before = element.textContent;
      const bytes = new TextEncoder().encode(element.innerHTML);
      for (let offset = 0; offset < bytes.length; offset += 1) {
        const bits = id === "entry" ? [offset % 8] : [0, 1, 2, 3, 4, 5, 6, 7];
        for (const bit of bits) {
          const changed = bytes.slice();
          changed[offset] ^= 1 << bit;
          element.innerHTML = new TextDecoder().decode(changed);
          flipped += 1;
          if (element.textContent === before) continue;
          if (!(await anyFails(log))) unseen.push([id, offset, bit]);
        }
      }
      element.textContent = before;
    }
    return { flipped, unseen, sound: !(await anyFails(log)) };
}"""
"""Flips a bit of each byte of the entry's source in the file, and all of the rest's."""

ALTER = """(selectors) => {
    // Each character that stands in such an element becomes another one.
    const checks = [checkSeed, () => all("[data-check=pool]").forEach(
      (element) => checkPool(element.closest("article"))),
      () => all("[data-check=position]").forEach(
      (element) => checkPosition(element.closest("article"))),
      () => one("table.pools") && checkTable()];
    const fails = (check) => { try { check(); } catch { return true; } return false; };
    if (checks.some(fails)) return ["the page as it was made"];
    const unseen = [];
    for (const element of document.querySelectorAll(selectors)) {
      const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const node = texts.currentNode;
        const before = node.data;
        [...before].forEach((letter, index) => {
          if (/\\s/.test(letter)) return;
          const other = /\\d/.test(letter) ? String((Number(letter) + 1) % 10) : "x";
          node.data = before.slice(0, index) + other + before.slice(index + 1);
          if (!checks.some(fails)) unseen.push([element.className, node.data]);
        });
        node.data = before;
      }
    }
    return unseen;
}"""
"""Changes each character of the elements, and returns those changes that no check found."""


MISLEADING = """async (cases) => {
    const bytes = (text) => base64(btoa(text.replace(/../g,
      (byte) => String.fromCharCode(parseInt(byte, 16)))));
    const leads = async (leaf, hashes, index, size, root) => {
      try {
        const at = { index: BigInt(index), size: BigInt(size), hashes };
        return hex(await rootOf(leaf, at)) === root;
      } catch { return false; }
    };
    const wrong = [];
    const expectThat = async (is, what, ...proof) => {
      if (await leads(...proof) !== is) wrong.push([what, ...proof]);
    };
    for (const [index, size, leafText, hashTexts, root] of cases) {
      const [leaf, hashes] = [bytes(leafText), hashTexts.map(bytes)];
      await expectThat(true, "right", leaf, hashes, index, size, root);
      await expectThat(false, "longer", leaf, [...hashes, leaf], index, size, root);
      if (size > 1) await expectThat(false, "shorter", leaf, hashes.slice(1), index, size, root);
      for (let other = 0; other <= size; other += 1) {
        if (other !== index) await expectThat(false, "other", leaf, hashes, other, size, root);
      }
    }
    return wrong;
}"""
"""Returns the proofs that lead to the root and should not, and those that should and do not."""


def verdict(page: Page) -> str:
    """What the page says of itself, once its checks are made."""
    page.evaluate("checked")
    return page.locator("#verdict output").inner_text()


def states(page: Page) -> dict[str, str]:
    """The state of each kind of check; of several of a kind, the worst."""
    found: dict[str, str] = {}
    ticks = page.evaluate(
        "all('[data-check]').map((tick) => [tick.dataset.check, tick.dataset.state])"
    )
    for name, state in ticks:
        found[name] = state if state != "holds" else found.get(name, state)
    return found


@pytest.mark.parametrize(
    "name", ["example", "breaks", "giant", "many", "late", "late break", "decided"]
)
def test_every_check_of_a_runs_page_holds(opened: Opener, name: str) -> None:
    page = opened(name)
    assert verdict(page) == f"All {page.locator('[data-check]').count()} checks hold."
    assert set(states(page)) == {"entry", "path", "signature", "shown", "seed", "table", "pool"}
    assert set(states(page).values()) == {"holds"}


@pytest.mark.parametrize("name", ["account", "late account", "decided account", "masked"])
def test_a_page_that_may_not_show_the_entry_says_so_and_checks_the_rest(
    opened: Opener, name: str
) -> None:
    page = opened(name)
    verdict(page)
    unable = {"entry", "shown"} if name == "masked" else {"entry"}
    assert {check for check, state in states(page).items() if state == "unable"} == unable
    assert {state for check, state in states(page).items() if check not in unable} == {"holds"}
    assert NO_ENTRY in page.locator("[data-check=entry]").inner_text()
    assert page.locator("#entry").count() == 0


def test_every_changed_bit_of_the_entry_the_proof_and_the_key_turns_a_tick_red(
    opened: Opener,
) -> None:
    page = opened("late")
    verdict(page)
    found = page.evaluate(FLIP)
    assert found["unseen"] == []
    assert found["sound"] is True
    assert found["flipped"] > 6_000


@pytest.mark.parametrize(
    ("name", "selectors"),
    [
        (
            "decided",
            f"{POOLS}, table.pools tbody th, #seed-volumes :is(tbody, tfoot td), {SEED}",
        ),
        ("late", POOLS),
        ("late break", ".quantities, .break, table.accounts td"),
        ("late account", ".working, table.positions td"),
        ("breaks", ".pool:nth-of-type(-n + 3) :is(.quantities, .break)"),
    ],
)
def test_every_changed_character_of_the_seed_and_of_a_pool_is_found(
    opened: Opener, name: str, selectors: str
) -> None:
    page = opened(name)
    verdict(page)
    assert page.locator(selectors).count() > 0
    assert page.evaluate(ALTER, selectors) == []


def test_every_changed_value_of_the_record_is_found(opened: Opener) -> None:
    page = opened("example")
    verdict(page)
    unseen = page.evaluate("""() => all("[data-entry]").filter((element) => {
        const before = element.innerHTML;
        element.textContent = text(element).replace(/.$/u, (last) => last === "1" ? "2" : "1");
        let seen = false;
        try { checkShown(); } catch { seen = true; }
        element.innerHTML = before;
        return !seen;
    }).map((element) => element.dataset.entry)""")
    assert unseen == []
    page.evaluate("one('[data-entries=evidence] tr').remove()")
    page.evaluate("checkAll()")
    assert states(page)["shown"] == "wrong"


def test_a_wrong_page_says_so_at_its_top_and_names_both_values(opened: Opener) -> None:
    page = opened("example")
    verdict(page)
    page.evaluate("one('#pool-1 table tbody td').textContent = '31'")
    page.evaluate("checkAll()")
    assert page.locator("#verdict output").inner_text() == (
        f"WRONG: 1 of {page.locator('[data-check]').count()} checks fail. Do not rely on this page."
    )
    wrong = page.locator("#pool-1 [data-check]")
    assert wrong.get_attribute("data-state") == "wrong"
    assert wrong.inner_text() == "WRONG: the short contracts are not the total short [R3]."
    assert wrong.evaluate("one => getComputedStyle(one, '::before').content") == '"✗" / ""'


def test_a_page_whose_file_was_changed_does_not_hold(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    html = pages["example"].read_text("utf-8")
    changed = html.replace("&#34;cycle&#34;:1", "&#34;cycle&#34;:2")
    assert changed != html
    path = tmp_path / "changed.html"
    path.write_text(changed, "utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    assert verdict(page).startswith("WRONG: ")
    assert {check for check, state in states(page).items() if state == "wrong"} == {
        "entry",
        "shown",
    }
    context.close()


def test_a_browser_without_webcrypto_says_so_and_computes_the_rest(
    browser: Browser, pages: dict[str, Path]
) -> None:
    """Over plain HTTP from another machine a browser offers no WebCrypto."""
    context = browser.new_context()
    page = context.new_page()
    body = pages["example"].read_text("utf-8")
    page.route("**/*", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto("http://lottery.example/")
    assert page.evaluate("isSecureContext") is False
    assert verdict(page).endswith("3 cannot be made here.")
    unable = {check for check, state in states(page).items() if state != "holds"}
    assert unable == {"entry", "path", "signature"}
    said = page.locator("[data-check=signature]").inner_text()
    assert said.endswith(
        "this browser has no WebCrypto here; open the page as a file or over HTTPS."
    )
    context.close()


def test_a_browser_without_ed25519_says_so(browser: Browser, pages: dict[str, Path]) -> None:
    """What browsers did before they had it: they refuse the name of the algorithm."""
    context = browser.new_context()
    context.add_init_script("""SubtleCrypto.prototype.importKey = () =>
        Promise.reject(new DOMException("Unrecognized name", "NotSupportedError"));""")
    page = context.new_page()
    page.goto(pages["example"].as_uri())
    assert verdict(page).endswith("1 cannot be made here.")
    assert states(page)["signature"] == "unable"
    said = page.locator("[data-check=signature]").inner_text()
    assert said.endswith("this browser's WebCrypto has no Ed25519; a newer one has it.")
    context.close()


def test_a_browser_without_scripts_claims_nothing(opened: Opener) -> None:
    page = opened("example", java_script_enabled=False)
    said = set(page.locator("[data-check] output, #verdict output").all_inner_texts())
    assert said == {"Not checked: scripts are off in this browser."}
    assert page.locator("[data-state]").count() == 0


def test_the_path_is_that_of_rfc_9162_for_every_leaf_of_small_trees(opened: Opener) -> None:
    """Law: a right proof leads to the root, and no other index or size does it with it."""
    page = opened("example")
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(17)]
    cases = []
    for size in range(1, len(leaves) + 1):
        nodes = Nodes(leaves[:size])
        root = merkle.root_of(size, nodes)
        for index in range(size):
            hashes = [one.hex() for one in merkle.inclusion_proof(index, size, nodes)]
            cases.append([index, size, leaves[index].hex(), hashes, root.hex()])
    wrong = page.evaluate(MISLEADING, cases)
    assert len(cases) == 17 * 18 // 2
    assert wrong == []


class Nodes:
    """The complete subtrees of a tree, by level and index."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._leaves = leaves

    def __call__(self, level: int, index: int) -> bytes:
        if not level:
            return self._leaves[index]
        return merkle.node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))


def test_the_scripts_rules_give_what_the_reference_gives(opened: Opener) -> None:
    """Law: ranges, first hit, wraps, late notices and breaks are those of the reference."""
    page = opened("example")
    generator = random.Random(7)  # noqa: S311 - no lottery is drawn with it.
    cases, expected = [], []
    for _ in range(600):
        seed = reference.seed_of(asks_making(generator.randrange(100_000, 10**9)))
        shorts = [generator.randint(1, 40) for _ in range(generator.randint(0, 8))]
        assigned = generator.randint(1, max(1, sum(shorts)) + 1)
        before = generator.choice([0, 0, generator.randint(0, 30)])
        zero_hit = generator.choice(ZERO_HITS)
        cases.append(
            {
                "asks": [price(volume) for volume in seed.volumes.values()],
                "shorts": [str(short) for short in shorts],
                "assigned": str(assigned),
                "before": str(before),
                "zeroHit": zero_hit,
            }
        )
        pool = reference.allocate_pool(
            [(str(number), short) for number, short in enumerate(shorts, 1)],
            assigned,
            seed.fraction,
            zero_hit=zero_hit,
            assigned_before=before,
        )
        expected.append(
            [
                seed.digits,
                pool.break_reason,
                pool.first_hit and str(pool.first_hit),
                [
                    [str(row.first_number), str(row.last_number), str(row.assigned_quantity)]
                    for row in pool.accounts
                ],
            ]
        )
    computed = page.evaluate(
        """(cases) => cases.map((one) => {
        const seed = seedOf(one.asks);
        const [assigned, before] = [BigInt(one.assigned), BigInt(one.before)];
        const ranges = rangesOf(one.shorts.map(BigInt));
        const total = ranges.at(-1)?.[1] ?? 0n;
        const reason = breakReason(assigned, total, before);
        if (reason) return [seed.digits, reason, null, []];
        const hit = firstHit(seed.tenThousandths, total, one.zeroHit);
        const hits = numbersHit(continued(hit, before, total), assigned, total);
        const rows = ranges.map((range) => [...range, sizeOf(hitsIn(range, hits))].map(String));
        return [seed.digits, null, String(hit), rows];
    })""",
        cases,
    )
    assert {one[1] for one in expected} == {None, "EXCEEDS_SHORT", "NO_POSITION"}
    assert computed == expected


def price(volume: int) -> str:
    """The ask of a volume."""
    return f"{volume // 100_000}.{volume % 100_000:05d}"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("seedOf(['1', '1.000001', '1', '1'])", "is not a decimal with up to five decimals"),
        ("seedOf(['1', '-1', '1', '1'])", "is not a decimal with up to five decimals"),
        ("seedOf(['0.1', '0.1', '0.1', '0.1'])", "shorter than six digits"),
        ("base64('AB==')", "base64: the page has"),
        ("readProof('index 1')", "not in the form of a tlog-proof"),
    ],
)
def test_what_is_not_in_its_form_is_refused(opened: Opener, expression: str, message: str) -> None:
    page = opened("example")
    refused = f"() => {{ try {{ {expression}; }} catch (error) {{ return error.message; }} }}"
    assert message in page.evaluate(refused)
