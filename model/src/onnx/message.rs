//! The messages of `onnx.proto3` that are written here, with the field numbers of that file.

use prost::Message;

/// `TensorProto.DataType.DOUBLE`.
pub(super) const DOUBLE: i64 = 11;
/// `TensorProto.DataType.STRING`.
pub(super) const STRING: i64 = 8;
/// `AttributeProto.AttributeType.INT`.
const INT: i32 = 2;
const IR_VERSION: i64 = 9;
const OPSET: i64 = 19;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Onnx {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

impl Onnx {
    pub(super) fn of(graph: Graph) -> Self {
        Self {
            ir_version: IR_VERSION,
            producer_name: "paripassu".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import: vec![Opset {
                domain: String::new(),
                version: OPSET,
            }],
        }
    }
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<Initial>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<Value>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<Attribute>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl Attribute {
    pub(super) fn int(name: &str, i: i64) -> Self {
        Self {
            name: name.to_owned(),
            i,
            kind: INT,
        }
    }
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Initial {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(bytes = "vec", repeated, tag = "6")]
    string_data: Vec<Vec<u8>>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
}

impl Initial {
    pub(super) fn doubles(name: &str, dims: &[usize], values: Vec<f64>) -> Self {
        Self {
            dims: dims.iter().map(|d| *d as i64).collect(),
            data_type: DOUBLE as i32,
            string_data: Vec::new(),
            name: name.to_owned(),
            double_data: values,
        }
    }

    pub(super) fn text(name: &str, value: &str) -> Self {
        Self {
            dims: Vec::new(),
            data_type: STRING as i32,
            string_data: vec![value.as_bytes().to_vec()],
            name: name.to_owned(),
            double_data: Vec::new(),
        }
    }
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

impl Value {
    /// A tensor; a dimension without a size is the number of rows.
    pub(super) fn tensor(name: &str, elem_type: i64, dims: &[Option<i64>]) -> Self {
        let dim = |d: &Option<i64>| Dimension {
            value: Some(match d {
                Some(size) => Size::Is(*size),
                None => Size::Named("rows".into()),
            }),
        };
        Self {
            name: name.to_owned(),
            kind: Some(Type {
                tensor: Some(Tensor {
                    elem_type: elem_type as i32,
                    shape: Some(Shape {
                        dim: dims.iter().map(dim).collect(),
                    }),
                }),
            }),
        }
    }
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<Tensor>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "Size", tags = "1, 2")]
    value: Option<Size>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Size {
    #[prost(int64, tag = "1")]
    Is(i64),
    #[prost(string, tag = "2")]
    Named(String),
}
