//! Files of every kind of column, written here.

use super::super::{ColumnData, MISSING_CODE, Table, TableError, TableReader};
use super::ParquetReader;
use crate::schema::{DatasetSpec, IdPart, IdRule};
use parquet::{
    data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Writer = SerializedFileWriter<File>;

fn file(dir: &Path, schema: &str, write: impl FnOnce(&mut Writer)) -> PathBuf {
    let path = dir.join("loans.parquet");
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, properties).unwrap();
    write(&mut writer);
    writer.close().unwrap();
    path
}

macro_rules! group {
    ($writer:expr, $(($kind:ty, $values:expr, $levels:expr)),*) => {{
        let mut group = $writer.next_row_group().unwrap();
        $(
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<<$kind as DataType>::T> = $values;
            column.typed::<$kind>().write_batch(&values, $levels, None).unwrap();
            column.close().unwrap();
        )*
        group.close().unwrap();
    }};
}

const SCHEMA: &str = "required binary id (UTF8); required boolean bad; optional double income; \
                      optional int64 tenure; required float ratio; optional binary home (UTF8); \
                      required int32 branch;";

fn spec() -> DatasetSpec {
    DatasetSpec {
        id_more: Vec::new(),
        id: "id".into(),
        label: Some("bad".into()),
        numeric: vec!["tenure".into(), "income".into(), "ratio".into()],
        categorical: vec!["branch".into(), "home".into()],
        missing: vec!["-999".into(), "NA".into()],
        id_rules: vec![IdRule::Trim],
    }
}

fn loans(dir: &Path) -> PathBuf {
    file(dir, SCHEMA, |w| {
        group!(
            w,
            (
                ByteArrayType,
                vec![" a ".into(), "b".into(), "c".into()],
                None
            ),
            (BoolType, vec![false, true, false], None),
            (DoubleType, vec![1.5, f64::NAN], Some(&[1, 0, 1])),
            (Int64Type, vec![7, -999], Some(&[1, 1, 0])),
            (FloatType, vec![0.5, 0.25, -0.5], None),
            (
                ByteArrayType,
                vec!["own".into(), "NA".into()],
                Some(&[0, 1, 1])
            ),
            (Int32Type, vec![3, 5, 3], None)
        );
        group!(
            w,
            (ByteArrayType, vec!["d".into()], None),
            (BoolType, vec![true], None),
            (DoubleType, vec![2.0], Some(&[1])),
            (Int64Type, vec![], Some(&[0])),
            (FloatType, vec![1.0], None),
            (ByteArrayType, vec!["own".into()], Some(&[1])),
            (Int32Type, vec![-1], None)
        );
    })
}

#[test]
fn types_missing_values_and_row_groups_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::load(&loans(dir.path()), &spec()).unwrap();
    assert_eq!(table.ids(), ["a", "b", "c", "d"]);
    assert_eq!(table.label(), Some(&[0, 1, 0, 1][..]));
    let numbers = |name: &str| -> Vec<Option<f64>> {
        let ColumnData::Numeric(values) = table.column(name).unwrap().data() else {
            panic!("{name}")
        };
        values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect()
    };
    assert_eq!(numbers("income"), [Some(1.5), None, None, Some(2.0)]);
    assert_eq!(numbers("tenure"), [Some(7.0), None, None, None]);
    assert_eq!(numbers("ratio"), [0.5, 0.25, -0.5, 1.0].map(Some));
    let categories = |name: &str| {
        let ColumnData::Categorical { levels, codes } = table.column(name).unwrap().data() else {
            panic!("{name}")
        };
        (levels.names().to_vec(), codes.clone())
    };
    let missing = MISSING_CODE;
    assert_eq!(
        categories("home"),
        (vec!["own".into()], vec![missing, 0, missing, 0])
    );
    let branches = ["3", "5", "-1"].map(String::from).to_vec();
    assert_eq!(categories("branch"), (branches, vec![0, 1, 0, 2]));
}

#[test]
fn batches_and_ids_alone_equal_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = loans(dir.path());
    let mut reader = TableReader::open(&path, &spec()).unwrap();
    let mut table = Table::empty(&spec());
    let mut sizes = Vec::new();
    loop {
        sizes.push(reader.read_batch(&mut table, 3).unwrap());
        if sizes.last() == Some(&0) {
            break;
        }
    }
    assert_eq!(sizes, [3, 1, 0]);
    let whole = Table::load(&path, &spec()).unwrap();
    assert_eq!((table.ids(), table.label()), (whole.ids(), whole.label()));
    assert_eq!(reader.id_rule_counts()[0].changed, 1);

    let mut ids = Vec::new();
    let mut reader = ParquetReader::open(&path, &spec())
        .unwrap()
        .without_repeats_check();
    while reader.read_ids(3, |id| ids.push(id.to_owned())).unwrap() > 0 {}
    assert_eq!((ids.len(), reader.rows()), (4, 4));
    assert_eq!(ids, table.ids());
}

#[test]
fn whole_numbers_are_ids_and_repeats_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let only = DatasetSpec {
        label: None,
        numeric: Vec::new(),
        categorical: Vec::new(),
        ..spec()
    };
    let path = file(dir.path(), "required int64 id (UINT_64);", |w| {
        group!(w, (Int64Type, vec![5, -1, 5], None));
    });
    let mut reader = ParquetReader::open(&path, &only)
        .unwrap()
        .without_repeats_check();
    let mut ids = Vec::new();
    reader.read_ids(9, |id| ids.push(id.to_owned())).unwrap();
    assert_eq!(ids, ["5", "18446744073709551615", "5"]);
    let e = Table::load(&path, &only).unwrap_err();
    assert!(
        matches!(e, TableError::DuplicateId { first_row: 1, .. }),
        "{e}"
    );
    let text = e.to_string();
    assert!(text.contains("row 3,") && !text.contains("line"), "{text}");
}

#[test]
fn what_cannot_be_read_is_refused_by_column() {
    let dir = tempfile::tempdir().unwrap();
    for (schema, column, word) in [
        (
            "required binary id (UTF8); required int32 day (DATE);",
            "day",
            "dates",
        ),
        (
            "required binary id (UTF8); required int64 day (DECIMAL(9,2));",
            "day",
            "decimals",
        ),
        (
            "required binary id (UTF8); required fixed_len_byte_array(4) day;",
            "day",
            "fixed",
        ),
        (
            "required binary id (UTF8); required int64 day (TIMESTAMP(NANOS,true));",
            "day",
            "times",
        ),
        (
            "required binary id (UTF8); repeated double day;",
            "day",
            "nested",
        ),
        (
            "required binary id (UTF8); required double days;",
            "day",
            "did you mean",
        ),
    ] {
        let path = file(dir.path(), schema, |_| {});
        let spec = DatasetSpec {
            label: None,
            numeric: vec![column.into()],
            categorical: Vec::new(),
            ..spec()
        };
        let e = Table::load(&path, &spec).unwrap_err().to_string();
        assert!(e.contains(word) && e.contains("`day`"), "{schema}: {e}");
    }
    let text = dir.path().join("text.parquet");
    std::fs::write(&text, "id,y\n1,0\n").unwrap();
    let e = Table::load(&text, &spec()).unwrap_err();
    assert!(matches!(e, TableError::Parquet { .. }), "{e}");
    // a fraction is no id, an infinite number none
    let path = file(dir.path(), "required double id;", |w| {
        group!(w, (DoubleType, vec![1.0], None));
    });
    let only = DatasetSpec {
        label: None,
        numeric: Vec::new(),
        categorical: Vec::new(),
        ..spec()
    };
    assert!(Table::load(&path, &only).is_err());
    let path = file(
        dir.path(),
        "required binary id (UTF8); required double x;",
        |w| {
            group!(
                w,
                (ByteArrayType, vec!["1".into()], None),
                (DoubleType, vec![f64::INFINITY], None)
            );
        },
    );
    let infinite = DatasetSpec {
        numeric: vec!["x".into()],
        ..only
    };
    let e = Table::load(&path, &infinite).unwrap_err();
    assert!(matches!(e, TableError::NotFinite { .. }), "{e}");
}

#[test]
fn an_id_of_several_columns_is_the_same_as_from_a_text_file() {
    let dir = tempfile::tempdir().unwrap();
    let schema = "required binary surname (UTF8); required double income; required int64 born;";
    let path = file(dir.path(), schema, |w| {
        group!(
            w,
            (ByteArrayType, vec![" moss ".into(), "a|b".into()], None),
            (DoubleType, vec![1.5, 2.5], None),
            (Int64Type, vec![19_700_102, 3], None)
        );
    });
    let spec = DatasetSpec {
        id: "surname".into(),
        id_more: vec![IdPart {
            column: "born".into(),
            rules: vec![IdRule::StripLeadingZeros],
        }],
        label: None,
        numeric: vec!["income".into()],
        categorical: Vec::new(),
        missing: Vec::new(),
        id_rules: vec![IdRule::Trim],
    };
    let table = Table::load(&path, &spec).unwrap();
    assert_eq!(table.ids(), ["moss|19700102", "a\\|b|3"]);
    let ColumnData::Numeric(income) = table.column("income").unwrap().data() else {
        panic!()
    };
    assert_eq!(income, &[1.5, 2.5]);
    let csv = dir.path().join("same.csv");
    std::fs::write(&csv, "born,income,surname\n019700102,1.5,moss\n3,2.5,a|b\n").unwrap();
    assert_eq!(Table::load(&csv, &spec).unwrap().ids(), table.ids());
}

#[test]
fn declined_rows_of_a_file_with_types_have_no_label() {
    let dir = tempfile::tempdir().unwrap();
    let schema = "required binary id (UTF8); optional int32 bad; required int64 declined;";
    let spec = DatasetSpec {
        numeric: vec!["declined".into()],
        categorical: Vec::new(),
        ..spec()
    };
    let of = |declined: Vec<i64>| {
        let path = file(dir.path(), schema, |w| {
            group!(
                w,
                (ByteArrayType, vec!["a".into(), "b".into()], None),
                (Int32Type, vec![1], Some(&[1, 0])),
                (Int64Type, declined.clone(), None)
            );
        });
        Table::load_with(&path, &spec, Some("declined"))
    };
    assert_eq!(of(vec![0, 1]).unwrap().label(), Some(&[1, 0][..]));
    let said = of(vec![0, 0]).unwrap_err().to_string();
    assert!(
        said.contains("row 2") && said.contains("not declined"),
        "{said}"
    );
    let said = of(vec![1, 1]).unwrap_err().to_string();
    assert!(
        said.contains("row 1") && said.contains("has a label"),
        "{said}"
    );
}
