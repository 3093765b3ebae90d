package codespec

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestRulesAreRefusedWithTheNameOfTheRule(t *testing.T) {
	for name, text := range map[string]string{
		"no version":           `{}`,
		"not JSON":             `{"version"`,
		"unknown key":          `{"version":"1","mmp":[]}`,
		"unknown key inside":   `{"version":"1","numeric":[{"id":"a","scheme":"s","prefixes":["10"],"min":18,"max":18,"len":3}]}`,
		"something behind":     `{"version":"1"} {}`,
		"id twice":             `{"version":"1","aids":[{"id":"a","scheme":"s","prefix":"A0"},{"id":"a","scheme":"s","prefix":"A1"}]}`,
		"no scheme":            `{"version":"1","aids":[{"id":"a","prefix":"A0"}]}`,
		"pattern":              `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"26-51","pattern":"("}]}`,
		"ids":                  `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"51-26"}]}`,
		"ids not digits":       `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"xx"}]}`,
		"capitals in exact":    `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"26","exact":["SG.PAYNOW"]}]}`,
		"form":                 `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"26","form":"q3"}]}`,
		"form backwards":       `{"version":"1","mpm":[{"id":"a","scheme":"s","ids":"26","form":"n9..3"}]}`,
		"one-digit prefix":     `{"version":"1","numeric":[{"id":"a","scheme":"s","prefixes":["1"],"min":18,"max":18}]}`,
		"no prefix":            `{"version":"1","numeric":[{"id":"a","scheme":"s","prefixes":[],"min":18,"max":18}]}`,
		"lengths":              `{"version":"1","numeric":[{"id":"a","scheme":"s","prefixes":["10"],"min":18,"max":17}]}`,
		"AID":                  `{"version":"1","aids":[{"id":"a","scheme":"s","prefix":"A"}]}`,
		"AID and format":       `{"version":"1","aids":[{"id":"a","scheme":"s","prefix":"A0","format":"X"}]}`,
		"http":                 `{"version":"1","links":[{"id":"a","scheme":"s","url_scheme":"http","host":"a.b","kind":"k"}]}`,
		"https without host":   `{"version":"1","links":[{"id":"a","scheme":"s","url_scheme":"https","kind":"k"}]}`,
		"https host pattern":   `{"version":"1","links":[{"id":"a","scheme":"s","url_scheme":"https","host":"a.b","host_pattern":".*","kind":"k"}]}`,
		"profile twice":        `{"version":"1","profiles":[{"scheme":"s"},{"scheme":"s"}]}`,
		"profile condition":    `{"version":"1","profiles":[{"scheme":"s","checks":[{"when":"monday"}]}]}`,
		"profile check's form": `{"version":"1","profiles":[{"scheme":"s","checks":[{"at":"01","form":"n"}]}]}`,
	} {
		if _, err := ParseRules([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "codespec: rules: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAcquirerMayWidenARule: some acquirers accept UnionPay codes of other
// lengths; that is a change of data.
func TestAcquirerMayWidenARule(t *testing.T) {
	wide := strings.Replace(string(defaultRules), `"prefixes": ["62"], "min": 19, "max": 19`, `"prefixes": ["62"], "min": 16, "max": 20`, 1)
	r, err := ParseRules([]byte(wide))
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Decode("620000000000000001")
	if err != nil || c.Schemes()[0] != "unionpay" {
		t.Errorf("%v %v", c.Schemes(), err)
	}
	if _, err := Decode("620000000000000001"); err == nil {
		t.Error("the built-in rules accept it too")
	}
}

// TestRulesCoverTheGUIDTable: every line of the researched table has a rule of
// the same scheme, place and country, in the same order, whose exact values the
// table's pattern matches.
func TestRulesCoverTheGUIDTable(t *testing.T) {
	data, err := os.ReadFile("testdata/guid_table.json")
	if err != nil {
		t.Fatal(err)
	}
	var table []struct {
		Scheme, Where, Match string
		RequiresCountry      string `json:"requires_country"`
	}
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	r := DefaultRules()
	if len(r.mpm) < len(table) {
		t.Fatalf("%d rules for %d lines", len(r.mpm), len(table))
	}
	for i, line := range table {
		m := r.mpm[i]
		if m.Scheme != line.Scheme || m.IDs != line.Where || m.RequiresCountry != line.RequiresCountry {
			t.Errorf("line %d: %s %s %s, want %+v", i, m.Scheme, m.IDs, m.RequiresCountry, line)
		}
		re := regexp.MustCompile("(?i)" + line.Match)
		for _, e := range m.Exact {
			if !re.MatchString(e) {
				t.Errorf("line %d: %s is not in %s", i, e, line.Match)
			}
		}
	}
}

func TestGUIDsMatchWithoutRegardToCase(t *testing.T) {
	for _, guid := range []string{"br.gov.bcb.pix", "BR.GOV.BCB.PIX", "Br.Gov.Bcb.Pix"} {
		c, err := Decode(repairCRC("00020101021126" + "22" + "0014" + guid + "0100" + "5204000053039865802BR5901A6001B"))
		if err != nil || len(c.Schemes()) != 1 || c.Schemes()[0] != "pix" {
			t.Errorf("%s: %v %v", guid, c.Schemes(), err)
		}
	}
}

// TestDefaultRulesAreOneValue: parsing happens once, and readers share it.
func TestDefaultRulesAreOneValue(t *testing.T) {
	first, second := DefaultRules(), DefaultRules()
	if first != second || first.Version() == "" {
		t.Error("two values, or no version")
	}
}
