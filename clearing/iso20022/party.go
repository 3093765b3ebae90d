package iso20022

// Party is an institution as the settlement agent knows it: who it is, and which
// account of the agent is meant. It is data of the directory: nothing is looked
// up or guessed. A party needs a BIC or another id; a name alone does not
// identify.
type Party struct {
	Name    string // at most 140 characters; may be empty
	BIC     string // ISO 9362, 8 or 11 characters
	Other   string // an LEI (ISO 17442), or an id that the agent gave, at most 35 characters
	Scheme  string // what kind of id Other is: "LEI", or at most 35 characters of the agent's own; may be empty
	Account Account
	Mandate string // the participant's mandate for direct debits; empty if it gave none
}

// Account names an account by one of two ids.
type Account struct {
	IBAN  string // ISO 13616
	Other string // at most 34 characters
}

// IsZero tells whether no account is named.
func (a Account) IsZero() bool { return a == Account{} }

// IsZero tells whether the party is none.
func (p Party) IsZero() bool { return p == Party{} }

// The forms of a party in XML, in the order of the schemas.
type (
	xmlOther struct {
		ID     string     `xml:"Id"`
		Scheme *xmlScheme `xml:"SchmeNm"`
	}
	xmlScheme struct {
		Proprietary string `xml:"Prtry"`
	}
	// xmlInstitution is BranchAndFinancialInstitutionIdentification6.
	xmlInstitution struct {
		BIC   string    `xml:"FinInstnId>BICFI,omitempty"`
		LEI   string    `xml:"FinInstnId>LEI,omitempty"`
		Name  string    `xml:"FinInstnId>Nm,omitempty"`
		Other *xmlOther `xml:"FinInstnId>Othr"`
	}
	// xmlOrganisation is PartyIdentification272 with the id of an organisation.
	xmlOrganisation struct {
		Name  string    `xml:"Nm,omitempty"`
		BIC   string    `xml:"Id>OrgId>AnyBIC,omitempty"`
		LEI   string    `xml:"Id>OrgId>LEI,omitempty"`
		Other *xmlOther `xml:"Id>OrgId>Othr"`
	}
	// xmlAccount is CashAccount38, 39 or 40.
	xmlAccount struct {
		IBAN     string    `xml:"Id>IBAN,omitempty"`
		Other    *xmlOther `xml:"Id>Othr"`
		Currency string    `xml:"Ccy,omitempty"`
	}
)

// schemeLEI is the scheme of ids that have an element of their own.
const schemeLEI = "LEI"

// lei returns Other if it is an LEI: 18 capital letters and digits, and two digits.
func (p Party) lei() string {
	if p.Scheme != schemeLEI || len(p.Other) != 20 {
		return ""
	}
	for i, c := range []byte(p.Other) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z' || i >= 18) {
			return ""
		}
	}
	return p.Other
}

func (p Party) other() *xmlOther {
	if p.Other == "" || p.lei() != "" {
		return nil
	}
	o := &xmlOther{ID: p.Other}
	if p.Scheme != "" {
		o.Scheme = &xmlScheme{p.Scheme}
	}
	return o
}

// party checks p, which goes to path.
func (c *faults) party(path string, p Party) {
	switch {
	case p.Name != "" && !validText(p.Name, 140):
		c.fail(FaultText, path+"/Nm", 0, "at most 140 characters")
	case p.BIC != "" && !validBIC(p.BIC):
		c.fail(FaultParty, path+"/BIC", 0, "not of the form of ISO 9362")
	case p.Other != "" && !validID(p.Other):
		c.fail(FaultID, path+"/Othr/Id", 0, "")
	case p.Scheme != "" && !validText(p.Scheme, 35):
		c.fail(FaultText, path+"/Othr/SchmeNm", 0, "at most 35 characters")
	case p.Scheme != "" && p.Other == "":
		c.fail(FaultParty, path+"/Othr/SchmeNm", 0, "names the kind of an id that is missing")
	case p.BIC == "" && p.Other == "":
		c.fail(FaultParty, path, 0, "neither BIC nor another id")
	}
}

func (c *faults) institution(path string, p Party) xmlInstitution {
	c.party(path, p)
	return xmlInstitution{BIC: p.BIC, LEI: p.lei(), Name: p.Name, Other: p.other()}
}

// institutionIf is institution for a party that may be none.
func (c *faults) institutionIf(path string, p Party) *xmlInstitution {
	if p.IsZero() {
		return nil
	}
	x := c.institution(path, p)
	return &x
}

func (c *faults) organisation(path string, p Party) *xmlOrganisation {
	c.party(path, p)
	return &xmlOrganisation{Name: p.Name, BIC: p.BIC, LEI: p.lei(), Other: p.other()}
}

// account checks a, which goes to path, and may be none.
func (c *faults) account(path string, a Account, currency string) *xmlAccount {
	x := &xmlAccount{IBAN: a.IBAN, Currency: currency}
	switch {
	case a.IsZero():
		return nil
	case a.IBAN != "" && a.Other != "":
		c.fail(FaultAccount, path, 0, "both an IBAN and another id")
	case a.IBAN != "" && !validIBAN(a.IBAN):
		c.fail(FaultAccount, path+"/Id/IBAN", 0, "not of the form of ISO 13616, or its check digits are wrong")
	case a.Other != "" && (!validID(a.Other) || len(a.Other) > 34):
		c.fail(FaultAccount, path+"/Id/Othr/Id", 0, "not 1 to 34 characters of the allowed set")
	case a.Other != "":
		x.Other = &xmlOther{ID: a.Other}
	}
	return x
}
