"""The catalog: accelerators and their prices, from `catalog.yaml` and the user's overlays on top of it.

Files lie in layers: ours, then `catalog.d/*.yaml` of the config folder by name, then those given by `--catalog` in
order. A later layer may add a card, change fields of one, add offers, or leave out earlier ones (`replace_prices`).
Every file is checked whole before anything is used, ours once per version (the cache remembers that it passed). Cards
and offers become records only when somebody asks for them: an answer about one chip reads one card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..errors import InputError, UnknownName
from ..frozen import replace
from ..names import fold, nearest, resolve
from .cards import merge_card, read_accelerator, read_cloud, read_price, read_rule, read_source, refuse_sparse
from .folders import config_folder, package_folder
from .records import Accelerator, Cloud, MeasuredRates, Price, Source, UsableRule
from .schema import Fields
from .yamlfile import FactFile, Key, read, read_text, spell

OURS = "catalog.yaml"
OVERLAY_FOLDER = "catalog.d"
LISTING = "flopwise catalog list"

_LEGENDS = ("usable_memory", "sources", "clouds")
_OURS = ("version", *_LEGENDS, "accelerators", "prices")
_OVERLAY = (*_OURS, "replace_prices")

_T = TypeVar("_T")
_V = TypeVar("_V")


class Catalog:
    """Accelerators and prices of all layers. `version` is that of ours; `overlays` names the other files, in order."""

    def __init__(self, layers: Sequence[FactFile]) -> None:
        """Join the layers; `layers[0]` is ours. Overlays are checked here, ours by `check_ours`."""
        ours = layers[0]
        self.version = Fields(ours, (), ours.data, _OURS).text("version")
        self.overlays = tuple(layer.file for layer in layers[1:])
        self._cards: dict[str, tuple[FactFile, Mapping[str, object]]] = {}
        self._offers: dict[str, list[tuple[FactFile, int, object]]] = {}
        self._legends: dict[str, dict[str, tuple[FactFile, object]]] = {legend: {} for legend in _LEGENDS}
        self._changed: list[tuple[FactFile, str]] = []
        self._priced: dict[str, tuple[Price, ...]] = {}
        self._measured: dict[str, MeasuredRates] = {}
        tops = [Fields(layer, (), {} if layer.data is None else layer.data, _OVERLAY) for layer in layers]
        for top in tops:
            self._join_cards(top)
        for top in tops:  # a price may stand in an earlier file than its card
            self._join_prices(top)
        for layer in layers[1:]:
            self._check(layer)

    # --- what others ask for ----------------------------------------------------------------------------------------

    @cached_property
    def accelerators(self) -> Mapping[str, Accelerator]:
        """All accelerators by id, in the order of the files."""
        return _Lazy(self._cards, self._accelerator)

    @cached_property
    def prices(self) -> tuple[Price, ...]:
        """All prices, grouped by accelerator."""
        return tuple(price for accelerator in self._offers for price in self.prices_of(accelerator))

    def prices_of(self, accelerator: str) -> tuple[Price, ...]:
        """Return all prices of one accelerator (its id), in the order of the files."""
        if accelerator not in self._priced:
            self._priced[accelerator] = tuple(
                read_price(file, accelerator, index, offer, clouds=self.clouds, sources=self.sources, origin=file.file)
                for file, index, offer in self._offers.get(accelerator, ())
            )
        return self._priced[accelerator]

    @property
    def priced(self) -> tuple[str, ...]:
        """Ids of the accelerators that have at least one price, in the order of the cards."""
        return tuple(name for name in self._cards if self._offers.get(name))

    @cached_property
    def prices_as_of(self) -> str:
        """The newest day of any price."""
        return max(_newest_day(offer) for offers in self._offers.values() for _, _, offer in offers)

    @cached_property
    def clouds(self) -> Mapping[str, Cloud]:
        """Who sells, by name."""
        return self._legend("clouds", read_cloud)

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Where numbers come from, by code."""
        return self._legend("sources", read_source)

    @cached_property
    def usable_rules(self) -> Mapping[str, UsableRule]:
        """How usable memory is derived where it was not seen, by name."""
        return self._legend("usable_memory", read_rule)

    def find(self, typed: str) -> Accelerator:
        """Return the accelerator that `typed` means: an id, an alias or a name, with or without its vendor.

        Raises:
            UnknownName: nothing matches; names the nearest.
            InputError: several match.
        """
        try:
            return self.accelerators[self._resolve(typed)]
        except UnknownName:
            first, _, rest = fold(typed).partition("-")
            if rest and first in {fold(str(card.get("vendor"))) for _, card in self._cards.values()}:
                return self.accelerators[self._resolve(rest, typed)]
            raise

    def find_cloud(self, typed: str) -> Cloud:
        """Return the cloud that `typed` means."""
        aliases = {alias: name for name, cloud in self.clouds.items() for alias in cloud.aliases}
        return self.clouds[
            resolve(typed, self.clouds, kind="cloud", aliases=aliases, listing="flopwise catalog prices")
        ]

    def stamp(self) -> Mapping[str, object]:
        """Return what every answer says about the catalog it used."""
        return {"version": self.version, "prices_as_of": self.prices_as_of, "overlays": list(self.overlays)}

    def calibrate(self, accelerator: str, measured: MeasuredRates) -> None:
        """Let the accelerator with this id carry measured rates from now on."""
        self._measured[accelerator] = measured
        self.__dict__.pop("accelerators", None)  # records made before do not have them

    # --- reading ----------------------------------------------------------------------------------------------------

    def _accelerator(self, name: str) -> Accelerator:
        file, card = self._cards[name]
        found = read_accelerator(
            file, name, card, rules=self.usable_rules, sources=self._legends["sources"], origin=file.file
        )
        measured = self._measured.get(name)
        return replace(found, measured=measured) if measured else found

    def _legend(self, key: str, reader: Callable[[FactFile, str, object], _T]) -> Mapping[str, _T]:
        entries = self._legends[key]
        return _Lazy(entries, lambda name: reader(entries[name][0], name, entries[name][1]))

    @cached_property
    def _short(self) -> dict[str, str]:
        """Folded aliases and full names (without what stands in parentheses), each with the id it means."""
        short: dict[str, str] = {}
        for name, (_, card) in self._cards.items():
            aliases = card.get("aliases")
            for alias in aliases if isinstance(aliases, list) else ():
                short.setdefault(fold(str(alias)), name)
        for name, (_, card) in self._cards.items():
            short.setdefault(fold(str(card.get("name")).partition("(")[0]), name)
        return {alias: name for alias, name in short.items() if alias not in self._cards}

    def _resolve(self, typed: str, shown: str = "") -> str:
        try:
            return resolve(typed, self._cards, kind="accelerator", aliases=self._short, listing=LISTING)
        except UnknownName as error:
            raise UnknownName("accelerator", shown or typed, error.nearest, LISTING) from None

    # --- joining layers ---------------------------------------------------------------------------------------------

    def _join_cards(self, top: Fields) -> None:
        file = top.file
        if not top.values:
            raise file.error(f"is empty; it may hold {', '.join(_OVERLAY)}")
        for legend in _LEGENDS:
            for name, entry in _entries(top, legend).items():
                earlier = self._legends[legend].get(name)
                if earlier and earlier[1] != entry:
                    said = f"{spell((legend, name))} is already in {earlier[0].file}; choose another name"
                    raise file.error(said, legend, name)
                self._legends[legend].setdefault(name, (file, entry))
        for name, card in _entries(top, "accelerators").items():
            if not isinstance(card, dict):
                Fields(file, ("accelerators", name), card, ())
            elif name in self._cards:
                self._cards[name] = (file, merge_card(self._cards[name][1], card))
            else:
                self._cards[name] = (file, card)
            self._changed.append((file, name))

    def _join_prices(self, top: Fields) -> None:
        file = top.file
        for name in top.texts("replace_prices"):
            if not self._offers.pop(name, None):
                close = nearest(name, self._offers)
                hint = f"; did you mean '{close[0]}'?" if close else ""
                top.fail("replace_prices", f"replace_prices names '{name}', which has no earlier price{hint}")
        for name, offers in _entries(top, "prices").items():
            path: tuple[Key, ...] = ("prices", name)
            if name not in self._cards:
                close = nearest(fold(name), (*self._cards, *self._short))
                hint = f"did you mean '{self._short.get(close[0], close[0])}'?" if close else "add its card"
                raise file.error(f"{spell(path)} is not the id of an accelerator; {hint}", *path)
            if not isinstance(offers, list) or not offers:
                raise file.error(f"{spell(path)} must be a list of offers (lines that start with a dash)", *path)
            self._offers.setdefault(name, []).extend((file, index, offer) for index, offer in enumerate(offers))

    def _check(self, file: FactFile) -> None:
        """Read everything that `file` says, and what joining it with the rest can break."""
        for legend, reader in (("usable_memory", read_rule), ("sources", read_source), ("clouds", read_cloud)):
            for name, (owner, entry) in self._legends[legend].items():
                if owner is file:
                    reader(file, name, entry)
        touched = [name for owner, name in self._changed if owner is file]
        self._check_names(file, touched)
        records = [self._accelerator(name) for name in touched]
        for record in records:
            refuse_sparse(file, record, self._peers(record))
        for name, offers in self._offers.items():
            for owner, index, offer in offers:
                if owner is file:
                    read_price(owner, name, index, offer, clouds=self.clouds, sources=self.sources)

    def _peers(self, record: Accelerator) -> list[Accelerator]:
        return [
            self.accelerators[name]
            for name, (_, card) in self._cards.items()
            if card.get("architecture") == record.architecture and name != record.id
        ]

    def _check_names(self, file: FactFile, touched: Sequence[str]) -> None:
        for name in touched:
            if fold(name) != name:
                said = f"{spell(('accelerators', name))} must be in lower case with hyphens: {fold(name)}"
                raise file.error(said, "accelerators", name)
        owners = {name: name for name in self._cards}
        for name in (*(name for name in self._cards if name not in touched), *touched):
            aliases = self._cards[name][1].get("aliases")
            for alias in aliases if isinstance(aliases, list) else ():
                owner = owners.setdefault(fold(str(alias)), name)
                if owner in touched and owner == fold(str(alias)) and owner != name:
                    said = f"{spell(('accelerators', owner))} is a short form of {name}; write that"
                    raise file.error(said, "accelerators", owner)
                if owner != name and name in touched:
                    path = ("accelerators", name, "aliases")
                    raise file.error(f"{spell(path)}: '{alias}' already means {owner}; choose another", *path)


def load_catalog(overlays: Sequence[Path] = (), *, use_config_folder: bool = True) -> Catalog:
    """Load our catalog with the user's overlays on top.

    Args:
        overlays: files given on the command line, in order.
        use_config_folder: whether to read `catalog.d/*.yaml` of the config folder too.

    Raises:
        FactsError: a file cannot be read or breaks the grammar; names file, line, field and the fix.
    """
    layers = [load_ours()]
    for path in (*(configured() if use_config_folder else ()), *overlays):
        layers.append(read(path))
    return Catalog(layers)


def load_ours() -> FactFile:
    """Read the catalog that came with the program."""
    return read(package_folder() / OURS, name=OURS, check=check_ours)


def check_ours(file: FactFile) -> None:
    """Check a whole catalog, one that needs no other beneath it.

    Raises:
        FactsError: it breaks the grammar.
    """
    Catalog([file])._check(file)


def check_file() -> Catalog:
    """Check our catalog anew, past the cache, and return it.

    Raises:
        FactsError: it breaks the grammar.
    """
    file = read_text((package_folder() / OURS).read_text(encoding="utf-8"), name=OURS)
    check_ours(file)
    return Catalog([file])


def configured() -> tuple[Path, ...]:
    """Return the overlay files of the config folder, by name.

    Raises:
        InputError: the folder is there and cannot be read.
    """
    folder = config_folder() / OVERLAY_FOLDER
    try:
        return tuple(sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml")))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def _entries(top: Fields, key: str) -> Mapping[str, object]:
    value = top.values.get(key)
    if value is None:
        if key in top.values:
            top.fail(key, f"{key} is empty; fill it or remove the line")
        return {}
    if not isinstance(value, dict):
        top.fail(key, f"{key} must be a mapping of names to entries")
    return value


def _newest_day(offer: object) -> str:
    date = str(offer.get("date", "")) if isinstance(offer, dict) else ""
    return "" if ".." in date else date


class _Lazy(Mapping[str, _V]):
    """A mapping whose values are made when they are first asked for."""

    def __init__(self, keys: Mapping[str, object], make: Callable[[str], _V]) -> None:
        self._keys, self._make = keys, make
        self._made: dict[str, _V] = {}

    def __getitem__(self, key: str) -> _V:
        if key not in self._made:
            if key not in self._keys:
                raise KeyError(key)
            self._made[key] = self._make(key)
        return self._made[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
