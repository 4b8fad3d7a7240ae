use super::*;
use crate::schema::{IdPart, IdRule};

fn spec() -> DatasetSpec {
    DatasetSpec {
        id_more: Vec::new(),
        id: "id".into(),
        label: Some("y".into()),
        numeric: vec!["income".into()],
        categorical: vec!["home".into()],
        missing: vec!["NA".into()],
        id_rules: vec![],
    }
}

fn read(text: &[u8]) -> Result<Table, TableError> {
    CsvReader::new("a.csv".into(), text, &spec())?.read_all()
}

fn refusal(text: &[u8]) -> String {
    read(text)
        .expect_err("this text must be refused")
        .to_string()
}

#[test]
fn reads_types_missing_values_and_quotes() {
    let text = b"\xef\xbb\xbfid,home,extra,income,y\nc1,\"own, paid\",1,2.5,0\nc2,,2,,1\n\
                 c3,rent,3,NA,0\nc4,\"own, paid\",4, -1e3 ,1\n";
    let table = read(text).unwrap();
    assert_eq!(table.ids(), ["c1", "c2", "c3", "c4"]);
    assert_eq!(table.label(), Some(&[0, 1, 0, 1][..]));
    let ColumnData::Numeric(income) = table.column("income").unwrap().data() else {
        panic!()
    };
    assert_eq!((income[0], income[3]), (2.5, -1000.0));
    assert!(income[1].is_nan() && income[2].is_nan());
    let ColumnData::Categorical { levels, codes } = table.column("home").unwrap().data() else {
        panic!()
    };
    assert_eq!(levels.names(), ["own, paid", "rent"]);
    assert_eq!(codes, &[0, MISSING_CODE, 1, 0]);
    assert_eq!(table.column("income").unwrap().missing(), 2);
    let back = table.select(&[3, 0]);
    assert_eq!(
        (back.ids(), back.label()),
        (&["c4".into(), "c1".into()][..], Some(&[1, 0][..]))
    );
    let shown = format!("{table:?}");
    assert!(!shown.contains("c1") && !shown.contains("own"), "{shown}");
}

#[test]
fn batches_equal_the_whole() {
    let mut text = String::from("id,home,income,y\n");
    for i in 0..103 {
        text += &format!("{i},h{},{},{}\n", i % 7, i * i, i % 2);
    }
    let whole = read(text.as_bytes()).unwrap();
    let mut reader = CsvReader::new("a.csv".into(), text.as_bytes(), &spec()).unwrap();
    let mut batch = Table::empty(&spec());
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    while reader.read_batch(&mut batch, 10).unwrap() > 0 {
        ids.extend_from_slice(batch.ids());
        if let ColumnData::Categorical { codes: c, .. } = &batch.column("home").unwrap().data {
            codes.extend_from_slice(c);
        }
        batch.clear();
    }
    assert_eq!(ids, whole.ids());
    let ColumnData::Categorical { codes: all, .. } = &whole.column("home").unwrap().data else {
        panic!()
    };
    assert_eq!(&codes, all);
    assert_eq!(reader.rows(), 103);
}

#[test]
fn every_refusal_says_where_and_what_to_do() {
    let head = "id,home,income,y\n";
    let ok = "c1,own,1,0\n";
    for (tail, want) in [
        (
            ",own,1,0\n",
            "a.csv, row 2 (line 3), column `id`: the id is empty: give every row an id, or drop the row",
        ),
        (
            "c1,own,1,0\n",
            "a.csv, row 2 (line 3), column `id`: the same id as row 1 (line 2): keep one row per id",
        ),
        (
            "c2,own,12 thousand euros,0\n",
            "a.csv, row 2 (line 3), column `income`: `12 thousand…` is not a number: correct it, list it under `missing`, or declare the column categorical",
        ),
        (
            "c2,own,inf,0\n",
            "a.csv, row 2 (line 3), column `income`: `inf` is not finite: leave missing values empty, or list the text under `missing`",
        ),
        ("c2,own,nan,0\n", "`nan` is not finite"),
        ("c2,own,1e999,0\n", "`1e999` is not finite"),
        (
            "c2,own,1,2\n",
            "a.csv, row 2 (line 3), column `y`: label `2`, expected 0 (good) or 1 (bad)",
        ),
        (
            "c2,own,1,\n",
            "a.csv, row 2 (line 3), column `y`: the label is missing: drop rows whose outcome is not known",
        ),
        (
            "c2,own,1\n",
            "a.csv, row 2 (line 3): 3 cells, expected 4 as in the header",
        ),
        ("c2,own,1,0,9\n", "5 cells, expected 4"),
    ] {
        let got = refusal(format!("{head}{ok}{tail}").as_bytes());
        assert!(got.contains(want), "{got}\n  lacks\n{want}");
    }
    let got = refusal(b"id,home,income,y\nc1,ow\xff,1,0\n");
    assert_eq!(
        got,
        "a.csv, row 1 (line 2), column `home`: not UTF-8 text: save the file as UTF-8"
    );
    assert!(refusal(b"").contains("a.csv holds nothing"));
    assert!(refusal(head.as_bytes()).contains("a header and no rows"));
    assert_eq!(
        refusal(b"id,home,incme,y\nc1,own,1,0\n"),
        "a.csv has no column `income` (did you mean `incme`?): correct the name, or leave the \
         column out"
    );
    assert!(refusal(b"id,home,salary,y\nc1,own,1,0\n").contains("no column `income`: correct"));
    assert!(refusal(b"id,home,home,income,y\nc1,own,own,1,0\n").contains("more than once"));
    assert!(
        Table::load(Path::new("no such file.csv"), &spec())
            .unwrap_err()
            .to_string()
            .starts_with("cannot read no such file.csv")
    );
}

#[test]
fn id_rules_apply_before_the_repetition_check() {
    let spec = DatasetSpec {
        id_rules: vec![IdRule::Trim, IdRule::StripLeadingZeros],
        ..spec()
    };
    let text = b"id,home,income,y\n007,own,1,0\n 8,own,1,0\n7,own,1,0\n";
    let mut reader = CsvReader::new("a.csv".into(), &text[..], &spec).unwrap();
    let mut table = Table::empty(&spec);
    let got = reader.read_batch(&mut table, 10).unwrap_err();
    assert!(
        got.to_string()
            .contains("the same id as row 1 (line 2), after the id rules"),
        "{got}"
    );
    assert_eq!(table.ids(), ["7", "8"]);
    assert_eq!(
        reader
            .id_rule_counts()
            .iter()
            .map(|c| c.changed)
            .collect::<Vec<_>>(),
        [1, 1]
    );
}

#[test]
fn a_refused_row_leaves_no_cells_behind() {
    let text = b"id,home,income,y\nc1,own,1,0\nc2,own,x,1\n";
    let mut reader = CsvReader::new("a.csv".into(), &text[..], &spec()).unwrap();
    let mut table = Table::empty(&spec());
    assert!(reader.read_batch(&mut table, 10).is_err());
    assert_eq!((table.rows(), table.label()), (1, Some(&[0][..])));
    assert!(table.columns().iter().all(|c| c.rows() == 1));
}

#[test]
fn unused_columns_are_listed() {
    let text = b"id,home,income,y,spare\nc1,own,1,0,z\n";
    let reader = CsvReader::new("a.csv".into(), &text[..], &spec()).unwrap();
    assert_eq!(reader.unused_columns().collect::<Vec<_>>(), ["spare"]);
}

#[test]
fn parts_of_unequal_length_are_refused() {
    let got = Table::new(
        vec!["a".into()],
        None,
        vec![Column::numeric("x", vec![1.0, 2.0])],
    );
    assert_eq!(
        got.unwrap_err().to_string(),
        "`x` has 2 rows, expected 1, one per id"
    );
}

#[test]
fn ids_alone_are_read_as_the_rows_ids_are() {
    let text = "id,income\n 7 ,x\n08,\nb,1\n7,2\n";
    let ids_of = |text: &str| -> Result<Vec<String>, TableError> {
        let only = DatasetSpec {
            id_rules: vec![IdRule::Trim],
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            ..spec()
        };
        let reader = CsvReader::new("a.csv".into(), text.as_bytes(), &only)?;
        let mut reader = reader.without_repeats_check();
        let mut ids = Vec::new();
        while reader.read_ids(3, |id| ids.push(id.to_owned()))? > 0 {}
        assert_eq!(reader.rows(), ids.len() as u64);
        Ok(ids)
    };
    // no other cell is looked at, and repeats are the caller's to find
    assert_eq!(ids_of(text).unwrap(), ["7", "08", "b", "7"]);
    let e = ids_of("id,income\n1,2\n ,3\n").unwrap_err().to_string();
    assert!(e.contains("row 2") && e.contains("empty"), "{e}");
    assert!(ids_of("id,income\n").is_err());
}

fn of_columns() -> DatasetSpec {
    let part = |column: &str, rules: &[IdRule]| IdPart {
        column: column.into(),
        rules: rules.to_vec(),
    };
    DatasetSpec {
        id: "surname".into(),
        id_more: vec![
            part("born", &[IdRule::DigitsOnly]),
            part("postcode", &[IdRule::Trim, IdRule::LowerCase]),
        ],
        label: None,
        numeric: vec!["income".into()],
        categorical: vec![],
        missing: vec!["NA".into()],
        id_rules: vec![IdRule::Trim, IdRule::LowerCase],
    }
}

#[test]
fn a_key_that_is_not_there_is_empty_where_that_may_be() {
    let rows = "postcode,surname,income,born\nab1,moss,1,1970\n,moss,1,1971\nab2,NA,1,1972\nab3, ,1,1973\n\
        ab4,moss,1,none\nab1,moss,1,1970\n";
    let reader = CsvReader::new("a.csv".into(), rows.as_bytes(), &of_columns()).unwrap();
    let mut reader = reader.without_repeats_check().with_empty_ids();
    let mut ids = Vec::new();
    while reader.read_ids(2, |id| ids.push(id.to_owned())).unwrap() > 0 {}
    // a date without a digit is none, and what stands twice is given twice
    let whole = "moss|1970|ab1";
    assert_eq!(ids, [whole, "", "", "", "", whole]);
    let strict = CsvReader::new("a.csv".into(), rows.as_bytes(), &of_columns()).unwrap();
    assert!(matches!(strict.read_all(), Err(TableError::EmptyId { .. })));
}

#[test]
fn an_id_of_several_columns_is_all_of_them_each_by_its_own_rules() {
    let read = |text: &str| {
        let mut reader = CsvReader::new("a.csv".into(), text.as_bytes(), &of_columns())?;
        let mut table = Table::empty(&of_columns());
        reader.read_batch(&mut table, 100)?;
        let changed: Vec<u64> = reader.id_rule_counts().iter().map(|c| c.changed).collect();
        Ok::<_, TableError>((table.ids().to_vec(), changed))
    };
    let head = "postcode,surname,income,born\n";
    let (ids, changed) = read(&format!(
        "{head}AB1, Moss ,1,1970-01-02\nab1,moss,2,19700103\nab2,moss,3,19700102\n"
    ))
    .unwrap();
    assert_eq!(
        ids,
        [
            "moss|19700102|ab1",
            "moss|19700103|ab1",
            "moss|19700102|ab2"
        ]
    );
    // rules in the order of the columns: of the surname, of the date, of the postcode
    assert_eq!(changed, [1, 1, 1, 0, 1]);
    // whatever stands in the columns, other columns give another id
    let (ids, _) = read(&format!(
        "{head}c,a|b,1,1\n\"2|c\",\"a\\\",1,1\nc,a\\|b,1,1\n"
    ))
    .unwrap();
    assert_eq!(ids, ["a\\|b|1|c", "a\\\\|1|2\\|c", "a\\\\\\|b|1|c"]);
    for (rows, want) in [
        (
            "ab1,moss,1,1970\nAB1,MOSS,2,19-70\n",
            "the same id as row 1",
        ),
        (
            "ab1,moss,1,unknown\n",
            "column `born`: the id is empty after the id rules",
        ),
        ("NA,moss,1,1970\n", "column `postcode`: the id is empty"),
        (" ,moss,1,1970\n", "column `postcode`: the id is empty"),
    ] {
        let said = read(&format!("{head}{rows}")).unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
    let said = read("surname,income,born\na,1,2\n")
        .unwrap_err()
        .to_string();
    assert!(said.contains("postcode"), "{said}");
    let twice = DatasetSpec {
        numeric: vec!["born".into()],
        ..of_columns()
    };
    assert!(twice.check().is_err());
}

#[test]
fn declined_rows_have_no_label_and_all_others_one() {
    let spec = DatasetSpec {
        numeric: vec!["income".into(), "declined".into()],
        categorical: Vec::new(),
        ..spec()
    };
    let read = |text: &str| {
        let reader = CsvReader::new("a.csv".into(), text.as_bytes(), &spec).unwrap();
        let mut reader = reader.with_rejected("declined");
        let mut table = Table::empty(&spec);
        reader.read_batch(&mut table, 100).map(|_| table)
    };
    let table = read("id,income,declined,y\na,1,0,1\nb,2,1,\nc,3,1.0,NA\nd,4,0,0\n").unwrap();
    // what stands there cannot matter: it is 0
    assert_eq!(table.label(), Some(&[1, 0, 0, 0][..]));
    for (row, want) in [
        (
            "b,2,1,0",
            "column `y`: a declined applicant (1 in `declined`) has a label",
        ),
        (
            "b,2,0,",
            "column `y`: the label is missing, and the row is not declined",
        ),
        (
            "b,2,,",
            "column `declined`: expected 1 (declined) or 0 (accepted)",
        ),
        (
            "b,2,0.5,1",
            "column `declined`: expected 1 (declined) or 0 (accepted)",
        ),
        ("b,2,1,7", "label `7`, expected 0 (good) or 1 (bad)"),
    ] {
        let text = format!("id,income,declined,y\na,1,0,1\n{row}\n");
        let said = read(&text).unwrap_err().to_string();
        assert!(
            said.contains("a.csv, row 2 (line 3)") && said.contains(want),
            "{said}"
        );
    }
    // without the column that says so, an empty label is the error that it was
    let plain = CsvReader::new(
        "a.csv".into(),
        &b"id,income,declined,y\nb,2,1,\n"[..],
        &spec,
    );
    let said = plain.unwrap().read_all().unwrap_err().to_string();
    assert!(said.contains("the label is missing: drop rows"), "{said}");
}
