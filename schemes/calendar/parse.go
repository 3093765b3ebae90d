package calendar

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones on machines that have none of their own

	"github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// Bounds on a source: far above any real one.
const (
	MaxSource    = 1 << 20 // bytes
	MaxDocument  = 4 << 20 // bytes of a document that holds a source as one of its sections
	maxCalendars = 1000    // versions counted
	maxSpecial   = 5000    // days of each kind in one version
	maxRun       = 60      // days of one named holiday
	maxYears     = 100     // that one version covers
	maxSchedules = 500
	maxCycles    = 288 // one each five minutes
	maxValueDays = 30
)

// Parse reads a set of calendars from YAML, in the form that the package comment
// gives. It refuses unknown and repeated keys, names of nothing, days that are
// said to be two things, and dates that a calendar does not reach. The error is
// a *ParseError that lists what is wrong, with lines.
//
// Zones are looked up here, in the machine's time zone database or else in the
// one built in; from then on all is pure.
func Parse(source []byte) (*Set, error) {
	return parse(source, MaxSource, func(p *parser, root spot) (spot, bool) { return root, p.plain(root.Node, 0) })
}

// ParseSection reads a set that is one section of a larger YAML document, such as
// a directory of participants: what stands under a key of its root, in the form
// that Parse reads. Lines and paths of problems are those of the document, and so
// is the hash. The rest of the document is not looked at.
func ParseSection(document []byte, key string) (*Set, error) {
	return parse(document, MaxDocument, func(p *parser, root spot) (spot, bool) {
		for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
			if at := (spot{root.Content[i+1], "/" + escape(key)}); root.Content[i].Value == key {
				return at, p.plain(at.Node, 0)
			}
		}
		p.fail(spot{root.Node, "/" + escape(key)}, tongma.FieldMissing, "", "is missing")
		return spot{}, false
	})
}

func parse(source []byte, limit int, find func(p *parser, root spot) (spot, bool)) (*Set, error) {
	p := &parser{}
	s := &Set{hash: sha256.Sum256(source), versions: map[string][]*Calendar{}, currencies: map[tongma.Currency]string{},
		agents: map[AgentID]string{}, schedules: map[string]*Schedule{}}
	if len(source) > limit {
		p.fail(spot{}, tongma.MessageTooLong, "", "is longer than %d bytes", limit)
	} else if root, ok := p.document(source); ok {
		if at, ok := find(p, root); ok {
			p.set(s, at)
		}
	}
	if len(p.problems) > 0 {
		return nil, &ParseError{p.problems}
	}
	return s, nil
}

func (p *parser) set(s *Set, at spot) {
	p.mapping(at,
		field{"name", false, func(at spot) { s.name, _ = p.text(at, 120) }},
		field{"calendars", true, func(at spot) {
			p.list(at, maxCalendars, func(item spot) { p.calendar(s, item) })
			p.order(s, at)
			p.broken = len(p.problems) > 0
		}},
		field{"currencies", true, func(at spot) {
			p.pairs(at, func(key string, value spot) {
				if c, ok := p.currency(spot{value.Node, value.path}, key); ok {
					s.currencies[c], _ = p.known(s, value)
				}
			})
		}},
		field{"agents", true, func(at spot) {
			p.pairs(at, func(key string, value spot) {
				if !validID(key) {
					p.invalid(value, "is no name of an agent: %s", idForm)
				}
				s.agents[AgentID(key)], _ = p.known(s, value)
			})
		}},
		field{"schedules", false, func(at spot) {
			p.list(at, maxSchedules, func(item spot) { p.schedule(s, item) })
		}})
}

const idForm = "lower-case letters, digits and hyphens, at most 32, a letter first"

func validID(s string) bool { return tongma.SchemeID(s).Valid() }

func (p *parser) id(at spot) string {
	s, ok := p.text(at, 64)
	if ok && !validID(s) {
		p.invalid(at, "must be %s", idForm)
	}
	return s
}

// known reads the name of a calendar of the set.
func (p *parser) known(s *Set, at spot) (string, bool) {
	id, ok := p.text(at, 64)
	if ok && len(s.versions[id]) == 0 {
		if !p.broken {
			p.fail(at, tongma.FieldInvalid, nearest(id, s.Calendars()), "there is no such calendar")
		}
		return "", false
	}
	return id, ok
}

func (p *parser) currency(at spot, code string) (tongma.Currency, bool) {
	c, ok := tongma.CurrencyByCode(code)
	if !ok {
		p.fail(at, tongma.CurrencyUnknown, "", "%.8q is no currency of ISO 4217", code)
	}
	return c, ok
}

func (p *parser) zone(at spot) (string, *time.Location) {
	name, ok := p.text(at, 64)
	if !ok {
		return "", time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		p.fail(at, tongma.FieldInvalid, nearest(name, commonZones), "is no zone of the IANA time zone database")
		return "", time.UTC
	}
	return name, zone
}

// commonZones are for suggestions only. All zones of the database may be used.
var commonZones = []string{"UTC", "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Bogota",
	"America/Chicago", "America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Sao_Paulo", "America/Toronto",
	"Asia/Bangkok", "Asia/Colombo", "Asia/Dhaka", "Asia/Dubai", "Asia/Ho_Chi_Minh", "Asia/Hong_Kong", "Asia/Jakarta", "Asia/Karachi",
	"Asia/Kathmandu", "Asia/Kolkata", "Asia/Kuala_Lumpur", "Asia/Kuwait", "Asia/Macau", "Asia/Manila", "Asia/Phnom_Penh", "Asia/Riyadh",
	"Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Taipei", "Asia/Tashkent", "Asia/Tokyo", "Asia/Vientiane", "Asia/Yangon",
	"Australia/Sydney", "Europe/Berlin", "Europe/Istanbul", "Europe/London", "Europe/Madrid", "Europe/Moscow", "Europe/Paris",
	"Europe/Rome", "Europe/Warsaw", "Europe/Zurich", "Pacific/Auckland"}

func (p *parser) date(at spot) Date {
	s, ok := p.text(at, 32)
	if !ok {
		return Date{}
	}
	d, err := ParseDate(s)
	if err != nil {
		p.invalid(at, "must be a date as 2026-05-01")
	}
	return d
}

func (p *parser) clock(at spot) (Clock, bool) {
	s, ok := p.text(at, 32)
	if !ok {
		return 0, false
	}
	c, err := ParseClock(s)
	if err != nil {
		p.invalid(at, "must be a time of day from \"00:00\" to \"24:00\"")
	}
	return c, err == nil
}

func (p *parser) instant(at spot) time.Time {
	s, ok := p.text(at, 40)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1900 {
		p.invalid(at, "must be an instant with its offset, as 2026-05-01T00:00:00+08:00")
	}
	return t.UTC()
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func (p *parser) calendar(s *Set, at spot) {
	before := len(p.problems)
	c := &Calendar{special: map[Date]Day{}}
	p.mapping(at,
		field{"id", true, func(at spot) { c.id = p.id(at) }},
		field{"version", true, func(at spot) {
			n, _ := p.whole(at, 1, 999_999_999)
			c.version = uint64(n)
		}},
		field{"effective_from", false, func(at spot) { c.effective = p.instant(at) }},
		field{"zone", true, func(at spot) { c.zoneName, c.zone = p.zone(at) }},
		field{"valid", true, func(at spot) { p.valid(c, at) }},
		field{"weekend", true, func(at spot) {
			p.list(at, 6, func(item spot) {
				if day, ok := p.oneOf(item, weekdays); ok {
					c.weekend[day] = true
				}
			})
		}},
		field{"working_days", false, func(at spot) { p.days(c, at, MakeUp) }},
		field{"holidays", false, func(at spot) { p.days(c, at, Holiday) }},
		field{"half_days", false, func(at spot) { p.days(c, at, Half) }})
	if len(p.problems) == before {
		s.versions[c.id] = append(s.versions[c.id], c)
	}
}

func (p *parser) valid(c *Calendar, at spot) {
	p.mapping(at,
		field{"from", true, func(at spot) { c.from = p.date(at) }},
		field{"to", true, func(at spot) { c.to = p.date(at) }})
	if c.from.IsZero() || c.to.IsZero() {
		return
	}
	if c.to.Compare(c.from) < 0 || c.to.day-c.from.day > maxYears*366 {
		p.invalid(at, "must be up to %d years from its first date to its last", maxYears)
	}
}

// days reads a list of special days of one kind. Make-up days are read before
// half days, so that a day can be both.
func (p *parser) days(c *Calendar, at spot, kind DayKind) {
	p.list(at, maxSpecial, func(item spot) {
		var from, to Date
		day := Day{Kind: kind}
		single := field{"date", false, func(at spot) { from = p.date(at); to = from }}
		fields := []field{single, {"name", true, func(at spot) { day.Name, _ = p.text(at, 120) }}}
		if kind == Holiday {
			fields = append(fields, field{"from", false, func(at spot) { from, to = p.date(at), Date{} }},
				field{"to", false, func(at spot) { to = p.date(at) }})
		}
		if kind == Half {
			fields = append(fields, field{"closes", true, func(at spot) { day.Closes, _ = p.clock(at) }})
		}
		before := len(p.problems)
		p.mapping(item, fields...)
		if len(p.problems) > before {
			return
		}
		if forms := keys(item); forms != "date" && forms != "from to" {
			p.invalid(item, "must have a date, or for a holiday from and to")
			return
		}
		if to.Compare(from) < 0 || to.day-from.day >= maxRun {
			p.invalid(item, "must be up to %d days from its first date to its last", maxRun)
			return
		}
		for ; day.Name != "" && from.Compare(to) <= 0; from = from.Add(1) {
			day.Date = from
			p.special(c, item, day)
		}
	})
}

// keys returns which of date, from and to a mapping has.
func keys(at spot) string {
	var out []string
	for i := 0; i+1 < len(at.Content); i += 2 {
		if k := at.Content[i].Value; k == "date" || k == "from" || k == "to" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// special adds a day. A holiday may fall on a weekend, as lists of holidays do; a
// make-up day must, and a half day must be open at all.
func (p *parser) special(c *Calendar, at spot, d Day) {
	if c.from.IsZero() || c.to.IsZero() {
		return // what the calendar reaches could not be read: told already
	}
	if d.Date.Compare(c.from) < 0 || d.Date.Compare(c.to) > 0 {
		p.invalid(at, "%s is not between %s and %s, where the calendar is valid", d.Date, c.from, c.to)
		return
	}
	had, twice := c.special[d.Date]
	weekend := c.weekend[d.Date.Weekday()]
	switch {
	case d.Kind == Half && had.Kind == MakeUp:
		d.Kind = MakeUpHalf
	case twice:
		p.invalid(at, "%s is a %s already: %s", d.Date, had.Kind, had.Name)
		return
	case d.Kind == MakeUp && !weekend:
		p.invalid(at, "%s is no weekend, so it needs no make-up", d.Date)
		return
	case d.Kind == Half && weekend:
		p.invalid(at, "%s is a weekend, so it is closed the whole day", d.Date)
		return
	}
	c.special[d.Date] = d
	if d.ClosesEarly() {
		c.early = append(c.early, d)
	}
}

// order puts the versions of each calendar in order and checks that they follow
// each other.
func (p *parser) order(s *Set, at spot) {
	for _, id := range sortedKeys(s.versions) {
		versions := s.versions[id]
		slices.SortFunc(versions, func(a, b *Calendar) int { return cmp.Compare(a.version, b.version) })
		for i := 1; i < len(versions); i++ {
			a, b := versions[i-1], versions[i]
			switch {
			case a.version == b.version:
				p.invalid(at, "%s stands twice", b.Ref())
			case !b.effective.After(a.effective):
				p.invalid(at, "%s must have an effective_from later than that of %s", b.Ref(), a.Ref())
			default:
				p.inTime(at, a, b)
			}
		}
	}
}

// inTime refuses a version that closes a day at an hour that is over before it is
// in force: a cut-off would be in the past when it is first heard of.
func (p *parser) inTime(at spot, before, c *Calendar) {
	for _, d := range c.early {
		if d.Date != DateOf(c.effective.In(c.zone)) || !c.closing(d).Before(c.effective) {
			continue
		}
		if same, ok := before.special[d.Date]; !ok || same.Closes != d.Closes || same.Kind != d.Kind || before.zoneName != c.zoneName {
			p.invalid(at, "%s closes on %s at %s, before it is in force", c.Ref(), d.Date, d.Closes)
		}
	}
}

func (p *parser) schedule(s *Set, at spot) {
	before := len(p.problems)
	c := &Schedule{roll: Following, zone: time.UTC}
	valueDays := 0
	p.mapping(at,
		field{"id", true, func(at spot) { c.id = p.id(at) }},
		field{"model", true, func(at spot) {
			n, _ := p.oneOf(at, models)
			c.model = Model(n)
		}},
		field{"currency", true, func(at spot) { p.settlesIn(s, c, at) }},
		field{"agent", true, func(at spot) { p.settlesWith(s, c, at) }},
		field{"zone", true, func(at spot) { c.zoneName, c.zone = p.zone(at) }},
		field{"value_days", false, func(at spot) { valueDays, _ = p.whole(at, 0, maxValueDays) }},
		field{"roll", false, func(at spot) {
			n, _ := p.oneOf(at, []string{"", "following", "modified-following"})
			c.roll = Roll(n)
		}},
		field{"good_in", false, func(at spot) {
			p.list(at, 8, func(item spot) {
				if id, ok := p.known(s, item); ok {
					c.valueIn = append(c.valueIn, s.versions[id])
				}
			})
		}},
		field{"cycles", true, func(at spot) { p.cycles(c, at, valueDays) }})
	if len(p.problems) > before {
		return
	}
	if s.schedules[c.id] != nil {
		p.invalid(at, "schedule %s stands twice", c.id)
		return
	}
	p.closings(c, at)
	s.schedules[c.id] = c
}

func (p *parser) settlesIn(s *Set, c *Schedule, at spot) {
	code, ok := p.text(at, 8)
	if !ok {
		return
	}
	if c.currency, ok = p.currency(at, code); !ok {
		return
	}
	if versions := s.versions[s.currencies[c.currency]]; len(versions) > 0 {
		c.days = append(c.days, versions)
	} else if !p.broken {
		p.invalid(at, "currencies names no calendar for it")
	}
}

func (p *parser) settlesWith(s *Set, c *Schedule, at spot) {
	id, ok := p.text(at, 64)
	if !ok {
		return
	}
	c.agent = AgentID(id)
	if versions := s.versions[s.agents[c.agent]]; len(versions) > 0 {
		c.days = append(c.days, versions)
	} else if !p.broken {
		p.fail(at, tongma.FieldInvalid, nearest(id, sortedKeys(s.agents)), "agents names no calendar for it")
	}
}

func (p *parser) cycles(c *Schedule, at spot, valueDays int) {
	seen := map[string]bool{}
	p.list(at, maxCycles, func(item spot) {
		cycle, timed := Cycle{ValueDays: valueDays}, false
		p.mapping(item,
			field{"id", true, func(at spot) { cycle.ID = p.id(at) }},
			field{"at", true, func(at spot) { cycle.At, timed = p.clock(at) }},
			field{"value_days", false, func(at spot) { cycle.ValueDays, _ = p.whole(at, 0, maxValueDays) }})
		switch n := len(c.cycles); {
		case !timed || cycle.ID == "":
			return
		case seen[cycle.ID]:
			p.invalid(item, "cycle %s stands twice", cycle.ID)
		case n > 0 && cycle.At <= c.cycles[n-1].At:
			p.invalid(item, "must be later than the cycle before it")
		case n > 0 && cycle.At == endOfDay && c.cycles[0].At == 0:
			p.invalid(item, "24:00 is the 00:00 of the next day, which has a cycle")
		}
		seen[cycle.ID] = true
		c.cycles = append(c.cycles, cycle)
	})
	if len(at.Content) == 0 {
		p.invalid(at, "must be at least one cycle")
	}
}

// closings refuses a half day that in the schedule's zone would close on another
// date: its cut-offs would come before or after those of that other date.
func (p *parser) closings(c *Schedule, at spot) {
	for _, versions := range c.days {
		for _, cal := range versions {
			for _, d := range cal.early {
				start, _ := Instant(d.Date, 0, c.zone)
				end, _ := Instant(d.Date, endOfDay, c.zone)
				if closing := cal.closing(d); closing.Before(start) || closing.After(end) {
					p.invalid(at, "%s closes on %s at an hour that is another date in %s", cal.Ref(), d.Date, c.zoneName)
				}
			}
		}
	}
}
