package schemes

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/calendar"
	"go.yaml.in/yaml/v3"
)

// Method is how the windows of a settlement model are netted. The numbers are given
// once and never reused.
type Method uint8

const (
	Multilateral Method = 0 // one net figure for each participant
	Bilateral    Method = 1 // one net figure for each pair
	Gross        Method = 2 // each direction of each pair by itself, nothing offset
)

var methods = []string{"multilateral", "bilateral", "gross"}

// String returns "multilateral", "bilateral" or "gross".
func (m Method) String() string {
	if int(m) < len(methods) {
		return methods[m]
	}
	return "unknown"
}

// AgentID names a settlement agent.
type AgentID = calendar.AgentID

// Names of models that are there without being declared.
const (
	DefaultModel        = ""         // takes what belongs to no other model
	DefaultDisputeModel = "disputes" // takes what disputes move, unless the directory names another
)

// Model is a settlement model: payments of some schemes in some currencies that are
// cleared in windows of their own.
type Model struct {
	ID     string // as a scheme's id; DefaultModel for what belongs to no other
	Method Method
	Agent  AgentID // who settles it; "" if nobody is named, and people do it
	// Schedule says when its windows are cut off. nil: by hand, or as the
	// installation's flags say. The schedule settles in one of the currencies, and
	// its value dates are good for all of them.
	Schedule   *calendar.Schedule
	Currencies []tongma.Currency // as declared; none for the default and the dispute model
	Schemes    []tongma.SchemeID // by id; none if all, or for the default and the dispute model
	AllSchemes bool

	schedule string
}

type modelKey struct {
	scheme   tongma.SchemeID
	currency tongma.Currency
}

// settlement is the part of a directory that says how it settles.
type settlement struct {
	calendars *calendar.Set // nil if the directory holds none
	ordinary  AgentID       // settles the default model, and those that name none
	disputes  string        // the dispute model
	models    []*Model      // as declared while parsing; then the default one first, and by id
	byModel   map[string]*Model
	modelOf   map[modelKey]string
}

// Model names the settlement model of payments of a scheme in a currency:
// DefaultModel unless another one is declared for them. It does not allocate.
func (d *Directory) Model(scheme tongma.SchemeID, currency tongma.Currency) string {
	return d.modelOf[modelKey{scheme, currency}]
}

// Models returns every model that may have windows: the default one first, then by
// id those that are declared, and the dispute model even if it is not declared.
func (d *Directory) Models() []*Model { return slices.Clone(d.models) }

// SettlementModel finds a model by its id; DefaultModel is one.
func (d *Directory) SettlementModel(id string) (*Model, bool) {
	m, ok := d.byModel[id]
	return m, ok
}

// DisputeModel names the model in which disputes move money. No payment belongs
// to it.
func (d *Directory) DisputeModel() string { return d.disputes }

// Calendars returns the business days and schedules that the directory holds, or
// nil if it holds none.
func (d *Directory) Calendars() *calendar.Set { return d.calendars }

const maxModels = 64

// calendar reads the section in the form of package calendar, whose problems are
// told as if they were the directory's own.
func (p *parser) calendar(d *Directory, path string) {
	set, err := calendar.ParseSection(d.source, path[1:])
	var wrong *calendar.ParseError
	if errors.As(err, &wrong) {
		for _, problem := range wrong.Problems[:min(len(wrong.Problems), maxProblems-len(p.problems))] {
			p.problems = append(p.problems, Problem{Line: problem.Line, Path: problem.Path, Reason: problem.Reason,
				Message: problem.Message, Suggestion: problem.Suggestion})
		}
	}
	d.calendars = set
}

func (p *parser) settlement(d *Directory, n *yaml.Node, path string) {
	p.mapping(n, path, []field{
		{"agent", false, func(n *yaml.Node, path string) { d.ordinary = p.agentID(n, path) }},
		{"dispute_model", false, func(n *yaml.Node, path string) { d.disputes = string(p.schemeID(n, path)) }},
		{"models", false, func(n *yaml.Node, path string) {
			p.list(n, path, maxModels, func(item *yaml.Node, at string) { d.models = append(d.models, p.model(item, at)) })
		}},
	})
}

func (p *parser) model(n *yaml.Node, path string) *Model {
	m := &Model{}
	p.mapping(n, path, []field{
		{"id", true, func(n *yaml.Node, path string) { m.ID = string(p.schemeID(n, path)) }},
		{"method", true, func(n *yaml.Node, path string) { m.Method = Method(p.oneOf(n, path, methods)) }},
		{"agent", false, func(n *yaml.Node, path string) { m.Agent = p.agentID(n, path) }},
		{"schedule", false, func(n *yaml.Node, path string) { m.schedule, _ = p.text(n, path, 64) }},
		{"currencies", false, func(n *yaml.Node, path string) { m.Currencies = p.currencies(n, path) }},
		{"schemes", false, func(n *yaml.Node, path string) { m.AllSchemes, m.Schemes = p.schemesOf(n, path) }},
	})
	return m
}

func (p *parser) agentID(n *yaml.Node, path string) AgentID {
	s, ok := p.text(n, path, 64)
	if ok && !tongma.SchemeID(s).Valid() {
		p.invalid(path, "must be lower-case letters, digits and hyphens, at most 32, from a letter")
	}
	return AgentID(s)
}

// schemesOf reads a list of schemes, or the word all.
func (p *parser) schemesOf(n *yaml.Node, path string) (all bool, some []tongma.SchemeID) {
	if n.Kind == yaml.ScalarNode {
		if n.Value != "all" {
			p.invalid(path, "must be the word all, or a list of schemes")
		}
		return n.Value == "all", nil
	}
	p.list(n, path, MaxSchemes, func(item *yaml.Node, at string) { some = append(some, p.schemeID(item, at)) })
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.invalid(path, "is empty; write the word all if every scheme is meant")
	}
	return false, some
}

// oneOf reads one of a few words and returns its place among them.
func (p *parser) oneOf(n *yaml.Node, path string, words []string) int {
	s, ok := p.text(n, path, 64)
	i := slices.Index(words, s)
	if ok && i < 0 {
		p.fail(path, tongma.FieldInvalid, nearest(s, words), "must be one of %s", strings.Join(words, ", "))
	}
	return max(i, 0)
}

// linkSettlement checks the models against schemes, calendars and each other, adds
// those that need no declaration, and builds the table of what belongs where.
func (p *parser) linkSettlement(d *Directory) {
	if d.disputes == "" {
		d.disputes = DefaultDisputeModel
	}
	d.byModel = map[string]*Model{DefaultModel: {Agent: d.ordinary}}
	d.modelOf = make(map[modelKey]string)
	if d.ordinary != "" && d.byAgent[d.ordinary] == nil {
		p.noAgent(d, "/settlement/agent", d.ordinary)
		return
	}
	for i, m := range d.models {
		path := item("settlement/models", i)
		once(p, d.byModel, m.ID, m, path+"/id", "this id")
		if m.Agent != "" && d.byAgent[m.Agent] == nil {
			p.noAgent(d, path+"/agent", m.Agent)
			continue
		}
		if m.Agent == "" && m.schedule == "" {
			m.Agent = d.ordinary
		}
		if p.linkMembers(d, m, path) && p.linkSchedule(d, m, path) {
			p.settlesAll(d, m, path)
		}
	}
	if d.byModel[d.disputes] == nil {
		d.byModel[d.disputes] = &Model{ID: d.disputes, Agent: d.ordinary}
	}
	d.models = slices.SortedFunc(maps.Values(d.byModel), func(a, b *Model) int { return cmp.Compare(a.ID, b.ID) })
}

// linkSchedule finds a model's schedule, which settles as the model does, and tells
// whether all is well with it.
func (p *parser) linkSchedule(d *Directory, m *Model, path string) bool {
	before := len(p.problems)
	at := path + "/schedule"
	if m.schedule == "" {
		return true
	}
	if d.calendars == nil {
		p.fail(at, tongma.CalendarUnknown, "", "there is no section calendar with schedules")
		return false
	}
	var ok bool
	if m.Schedule, ok = d.calendars.Schedule(m.schedule); !ok {
		var names []string
		for _, s := range d.calendars.Schedules() {
			names = append(names, s.ID())
		}
		p.fail(at, tongma.CalendarUnknown, nearest(m.schedule, names), "there is no such schedule in section calendar")
		return false
	}
	if m.Agent == "" {
		m.Agent = m.Schedule.Agent()
	}
	switch s := m.Schedule; {
	case s.Model().String() != m.Method.String():
		p.invalid(at, "is for %s settlement, and the model is %s", s.Model(), m.Method)
	case s.Agent() != m.Agent:
		p.invalid(at, "is of agent %s, and the model's is %s", s.Agent(), m.Agent)
	case d.byAgent[m.Agent] == nil:
		p.invalid(at, "is of agent %s, of whom section agents says nothing", m.Agent)
	case m.ID != d.disputes && !slices.Contains(m.Currencies, s.Currency()):
		p.invalid(at, "settles in %s, which is no currency of the model", s.Currency())
	default:
		p.goodInAll(d, m, path)
	}
	return len(p.problems) == before
}

// settlesAll fails if a model's agent does not settle in each of its currencies.
func (p *parser) settlesAll(d *Directory, m *Model, path string) {
	agent := d.byAgent[m.Agent]
	for i, c := range m.Currencies {
		if agent != nil && !agent.Settles(c) {
			p.invalid(item(path[1:]+"/currencies", i), "is no currency of agent %s", m.Agent)
		}
	}
}

// goodInAll fails if a value date of a model's schedule may be no business day of
// one of its currencies.
func (p *parser) goodInAll(d *Directory, m *Model, path string) {
	for i, c := range m.Currencies {
		if days, known := d.calendars.CalendarOf(c); !known {
			p.fail(item(path[1:]+"/currencies", i), tongma.CalendarUnknown, "", "has no calendar, so no value date is known to be good in it")
		} else if !m.Schedule.Asks(days) {
			p.invalid(path+"/schedule", "does not ask calendar %s of %s; add it to the schedule's good_in", days, c)
		}
	}
}

// linkMembers enters what belongs to a model, and tells whether all is well with
// that. A scheme and a currency belong to one model at most, or a payment's window
// would depend on the order of the file.
func (p *parser) linkMembers(d *Directory, m *Model, path string) bool {
	before := len(p.problems)
	members := p.members(d, m.AllSchemes, m.Schemes, path+"/schemes")
	distinct(p, path+"/currencies", m.Currencies)
	switch {
	case m.ID == d.disputes && (len(m.Currencies) > 0 || m.AllSchemes || len(m.Schemes) > 0):
		p.invalid(path, "is the dispute model, to which no payment belongs: it has neither schemes nor currencies")
	case m.ID == d.disputes:
	case len(m.Currencies) == 0:
		p.fail(path+"/currencies", tongma.FieldMissing, "", "is missing")
	case !m.AllSchemes && len(m.Schemes) == 0:
		p.fail(path+"/schemes", tongma.FieldMissing, "", "is missing")
	}
	if len(p.problems) > before {
		return false
	}
	p.enter(d, m, members, path)
	for i, c := range m.Currencies {
		if !slices.ContainsFunc(members, func(s *Scheme) bool { return s.Serves(c) }) {
			p.invalid(item(path[1:]+"/currencies", i), "is a currency of none of the model's schemes")
		}
	}
	slices.Sort(m.Schemes)
	return len(p.problems) == before
}

// enter puts a model's pairs of scheme and currency into the table.
func (p *parser) enter(d *Directory, m *Model, members []*Scheme, path string) {
	for i, s := range members {
		served := m.AllSchemes
		for _, c := range s.Currencies {
			if !slices.Contains(m.Currencies, c) {
				continue
			}
			served = true
			if other, taken := d.modelOf[modelKey{s.ID, c}]; taken {
				p.invalid(path, "%s in %s belongs to model %s already", s.ID, c, other)
			}
			d.modelOf[modelKey{s.ID, c}] = m.ID
		}
		if !served {
			p.invalid(item(path[1:]+"/schemes", i), "clears in none of the model's currencies")
		}
	}
}

// members returns the schemes that a list names, and fails for those that it names
// wrongly or twice.
func (p *parser) members(d *Directory, all bool, some []tongma.SchemeID, path string) []*Scheme {
	if all {
		return d.schemes
	}
	var found []*Scheme
	for i, id := range some {
		if s := d.byScheme[id]; s != nil {
			found = append(found, s)
		} else if len(p.problems) < maxProblems {
			p.fail(item(path[1:], i), tongma.FieldInvalid, nearest(string(id), keysOf(d.byScheme)), "there is no such scheme")
		}
	}
	distinct(p, path, some)
	return found
}
